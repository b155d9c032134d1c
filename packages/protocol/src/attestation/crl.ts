/** Certificate revocation lists. Reads and proves nothing. Source: RFC 5280 §5.1. Pure. */
import { equalBytes, toHex } from '../bytes.ts'
import { DerCursor, malformed, readBitString, readDer, readSmallInteger, readTime, readUnsigned, TAG } from './der.ts'
import { isEcdsaSha256, isPssSha384 } from './signature-algorithm.ts'
import { type Name, parseExtensions, parseName } from './x509.ts'

export interface RevocationList {
  readonly tbs: Uint8Array
  readonly isPssSha384: boolean
  readonly isEcdsaSha256: boolean
  readonly issuer: Name
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  /** Serial numbers as lower-case hex without a sign byte. */
  readonly revoked: ReadonlySet<string>
  readonly signature: Uint8Array
}

/** Longest list; the longest real one has one entry. */
const MAX_ENTRIES = 4096

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED, also for a list without nextUpdate or with critical extensions. */
export function parseCrl(der: Uint8Array): RevocationList {
  const outer = new DerCursor(readDer(der, TAG.sequence).content)
  const tbs = outer.next(TAG.sequence)
  const algorithm = outer.next(TAG.sequence)
  const signature = readBitString(outer.next(TAG.bitString))
  outer.end()
  const cursor = new DerCursor(tbs.content)
  if (readSmallInteger(cursor.next(TAG.integer)) !== 1) throw malformed('CRL version 2', 'another')
  if (!equalBytes(cursor.next(TAG.sequence).raw, algorithm.raw)) throw malformed('one signature algorithm', 'two')
  const issuer = parseName(cursor.next(TAG.sequence))
  const thisUpdate = readTime(cursor.any())
  const nextUpdate = readTime(cursor.any())
  const entries = cursor.optional(TAG.sequence)
  refuseCritical(cursor)
  cursor.end()
  const revoked = entries === undefined ? new Set<string>() : parseEntries(new DerCursor(entries.content))
  return {
    tbs: tbs.raw,
    isPssSha384: isPssSha384(algorithm),
    isEcdsaSha256: isEcdsaSha256(algorithm),
    issuer,
    thisUpdate,
    nextUpdate,
    revoked,
    signature,
  }
}

function parseEntries(entries: DerCursor): Set<string> {
  const revoked = new Set<string>()
  // Entries mostly have the same time and reason: what was read once need not be read again.
  let time: Uint8Array = new Uint8Array()
  let reason: Uint8Array = new Uint8Array()
  for (let count = 1; !entries.isDone; count++) {
    if (count > MAX_ENTRIES) throw malformed(`at most ${MAX_ENTRIES} revoked certificates`, 'more')
    const entry = new DerCursor(entries.next(TAG.sequence).content)
    revoked.add(toHex(readUnsigned(entry.next(TAG.integer))))
    const revokedAt = entry.any()
    if (!equalBytes(revokedAt.raw, time)) readTime(revokedAt)
    time = revokedAt.raw
    const extensions = entry.optional(TAG.sequence)
    entry.end()
    if (extensions === undefined || equalBytes(extensions.raw, reason)) continue
    refuseCriticalIn(parseExtensions(extensions))
    reason = extensions.raw
  }
  return revoked
}

/** A critical extension narrows what the list is about (one distribution point, a delta): such a list is not understood. */
function refuseCritical(cursor: DerCursor): void {
  const tagged = cursor.optional(TAG.context0)
  if (tagged !== undefined) refuseCriticalIn(parseExtensions(readDer(tagged.content, TAG.sequence)))
}

function refuseCriticalIn(extensions: ReturnType<typeof parseExtensions>): void {
  for (const [oid, { critical }] of extensions) if (critical) throw malformed('no critical CRL extension', oid)
}
