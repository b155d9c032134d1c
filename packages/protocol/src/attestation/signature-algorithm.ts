/**
 * The signature algorithms of certificates and revocation lists. AMD's: RSASSA-PSS, SHA-384, MGF1 SHA-384, salt 48.
 * Intel's: ECDSA with SHA-256. Source: RFC 4055 §3.1, RFC 5758 §3.2. Pure.
 */
import { toBufferSource } from '../bytes.ts'
import { DerCursor, type DerValue, readOid, readSmallInteger, TAG } from './der.ts'

const RSASSA_PSS = '1.2.840.113549.1.1.10'
const MGF1 = '1.2.840.113549.1.1.8'
const SHA384 = '2.16.840.1.101.3.4.2.2'
const SALT_BYTES = 48

const ECDSA_SHA256 = '1.2.840.10045.4.3.2'

/** Whether an AlgorithmIdentifier is ECDSA with SHA-256, which has no parameters. @throws as below. */
export function isEcdsaSha256(algorithm: DerValue): boolean {
  const cursor = new DerCursor(algorithm.content)
  return readOid(cursor.next(TAG.oid)) === ECDSA_SHA256 && cursor.isDone
}

/** Whether an AlgorithmIdentifier is RSASSA-PSS as AMD uses it. @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED where it cannot be read. */
export function isPssSha384(algorithm: DerValue): boolean {
  const cursor = new DerCursor(algorithm.content)
  if (readOid(cursor.next(TAG.oid)) !== RSASSA_PSS) return false
  const parameters = new DerCursor(cursor.next(TAG.sequence).content)
  cursor.end()
  return hasPssParameters(parameters)
}

/** RSASSA-PSS-params: [0] hash, [1] mask generation, [2] salt length, [3] trailer field 1 (the default). */
function hasPssParameters(cursor: DerCursor): boolean {
  const hash = cursor.optional(TAG.context0)
  const mask = cursor.optional(TAG.context1)
  const salt = cursor.optional(TAG.context2)
  const trailer = cursor.optional(TAG.context3)
  cursor.end()
  // The defaults of the first three are SHA-1 and 20: never ours.
  if (hash === undefined || mask === undefined || salt === undefined) return false
  if (trailer !== undefined && readSmallInteger(inner(trailer, TAG.integer)) !== 1) return false
  return (
    isSha384(inner(hash, TAG.sequence)) &&
    isMgf1Sha384(inner(mask, TAG.sequence)) &&
    readSmallInteger(inner(salt, TAG.integer)) === SALT_BYTES
  )
}

function isMgf1Sha384(algorithm: DerValue): boolean {
  const cursor = new DerCursor(algorithm.content)
  if (readOid(cursor.next(TAG.oid)) !== MGF1) return false
  const hash = cursor.next(TAG.sequence)
  cursor.end()
  return isSha384(hash)
}

function isSha384(algorithm: DerValue): boolean {
  const cursor = new DerCursor(algorithm.content)
  const oid = readOid(cursor.next(TAG.oid))
  cursor.optional(TAG.null)
  cursor.end()
  return oid === SHA384
}

/** The one value inside an explicit context tag. */
function inner(value: DerValue, tag: number): DerValue {
  const cursor = new DerCursor(value.content)
  const found = cursor.next(tag)
  cursor.end()
  return found
}

const RSA_PSS = { name: 'RSA-PSS', hash: 'SHA-384' }

/** An RSA key for many signatures; undefined for one that cannot be used. */
export async function importPssKey(spki: Uint8Array): Promise<CryptoKey | undefined> {
  try {
    return await crypto.subtle.importKey('spki', toBufferSource(spki), RSA_PSS, false, ['verify'])
  } catch {
    // A hostile key makes WebCrypto throw: it proves nothing, as a wrong signature does.
    return undefined
  }
}

/** Whether `signature` over `signed` is by the key. */
export async function verifyPss(
  key: CryptoKey | undefined,
  signature: Uint8Array,
  signed: Uint8Array,
): Promise<boolean> {
  if (key === undefined) return false
  const parameters = { name: 'RSA-PSS', saltLength: SALT_BYTES }
  try {
    return await crypto.subtle.verify(parameters, key, toBufferSource(signature), toBufferSource(signed))
  } catch {
    // An engine may throw for a signature of another length: it proves nothing, as a wrong one does.
    return false
  }
}

/** The same for a key that is used once; false too for a key that cannot be used. */
export async function verifyPssSha384(spki: Uint8Array, signature: Uint8Array, signed: Uint8Array): Promise<boolean> {
  return await verifyPss(await importPssKey(spki), signature, signed)
}
