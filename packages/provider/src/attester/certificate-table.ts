/**
 * The certificate table that a host gives its SNP guest. Pure. Source: AMD 56421 (GHCB), SNP extended guest request:
 * entries of GUID [16], offset u32, length u32, little-endian, up to a zero GUID; offsets count from the table's start.
 */
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

/** GUIDs in memory are in the order of their text (AMD's sev-guest tool writes them by uuid_parse): no group is swapped. */
const GUIDS: Readonly<Record<string, CertificateKind>> = {
  '63da758de6644564adc5f4b93be8accd': 'vcek',
  a8074bc2a25a483eaae639c045a0b8a1: 'vlek',
  '4ab7b379bbac4fe4a02f05aef327c782': 'ask',
  c0b406a4a803495297433fb6014cd0ae: 'ark',
}

type CertificateKind = 'vcek' | 'vlek' | 'ask' | 'ark'

const ENTRY_BYTES = 24
const GUID_BYTES = 16
/** Real tables have 3 to 6 entries. */
const MAX_ENTRIES = 64

/** What a table has of the certificates that evidence needs. `ask` is the ASVK where the host's keys are VLEKs. */
export type CertificateTable = Partial<Record<CertificateKind, Uint8Array>>

/** Unknown entries are passed over. @throws TrustedPodsError ATTEST_UNAVAILABLE when an entry points outside the table. */
export function readCertificateTable(table: Uint8Array): CertificateTable {
  return Object.fromEntries(readEntries(table))
}

/** In the order of evidence: VCEK or VLEK, then ASK, then ARK. @throws ATTEST_UNAVAILABLE when one of the three is missing. */
export function tableChain(table: CertificateTable): Uint8Array[] {
  const chain = [table.vcek ?? table.vlek, table.ask, table.ark]
  const certificates = chain.filter((certificate) => certificate !== undefined)
  if (certificates.length === chain.length) return certificates
  const got = Object.keys(table).join(', ') || 'none'
  throw new TrustedPodsError(
    'ATTEST_UNAVAILABLE',
    `the host's certificate table has ${got}; vcek or vlek, ask and ark are wanted`,
  )
}

function readEntries(table: Uint8Array): Map<CertificateKind, Uint8Array> {
  const view = new DataView(table.buffer, table.byteOffset, table.length)
  const found = new Map<CertificateKind, Uint8Array>()
  for (let at = 0; at + ENTRY_BYTES <= table.length && at < MAX_ENTRIES * ENTRY_BYTES; at += ENTRY_BYTES) {
    const guid = toHex(table.subarray(at, at + GUID_BYTES))
    if (/^0+$/.test(guid)) return found
    const offset = view.getUint32(at + GUID_BYTES, true)
    const length = view.getUint32(at + GUID_BYTES + 4, true)
    if (offset + length > table.length) {
      const got = `entry ${guid} ends at ${offset + length} of ${table.length} bytes`
      throw new TrustedPodsError('ATTEST_UNAVAILABLE', `the host's certificate table is broken: ${got}`)
    }
    const kind = GUIDS[guid]
    if (kind !== undefined) found.set(kind, table.slice(offset, offset + length))
  }
  return found
}
