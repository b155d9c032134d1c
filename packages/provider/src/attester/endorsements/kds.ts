/** AMD's Key Distribution Service: which documents a report needs, and reading them. Source: AMD 57230. Pure but for hashing. */
import { parseCrl } from '@trusted-pods/protocol/attestation/crl.ts'
import { verifyPssSha384 } from '@trusted-pods/protocol/attestation/signature-algorithm.ts'
import { readEndorsement } from '@trusted-pods/protocol/attestation/snp/endorsement.ts'
import type { EndorsementKind } from '@trusted-pods/protocol/attestation/snp/policy.ts'
import type { SnpReport } from '@trusted-pods/protocol/attestation/snp/report.ts'
import { type HardwareProduct, isSameTcb, type Tcb, toTcb } from '@trusted-pods/protocol/attestation/snp/tcb.ts'
import { readPemCertificates } from '@trusted-pods/protocol/attestation/tdx/pem.ts'
import { parseCertificate } from '@trusted-pods/protocol/attestation/x509.ts'
import { equalBytes, toHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { DocumentRequest } from './document.ts'

export const KDS_URL = 'https://kdsintf.amd.com'

const HOUR_MS = 3_600_000
/** A VCEK never changes for one TCB, a chain hardly ever, a list whenever something is revoked. */
const VCEK_REFRESH_MS = 30 * 24 * HOUR_MS
const CHAIN_REFRESH_MS = 7 * 24 * HOUR_MS
const CRL_REFRESH_MS = 24 * HOUR_MS

/** The bytes of CHIP_ID that name the chip. */
export function hwid({ chipId }: SnpReport, product: HardwareProduct): Uint8Array {
  return product === 'Turin' ? chipId.subarray(0, 8) : chipId
}

/** Whether a VCEK certificate is for the chip and the firmware of a report. @throws ATTEST_EVIDENCE_MALFORMED */
export function isVcekOf(der: Uint8Array, report: SnpReport, product: HardwareProduct): boolean {
  const endorsement = readEndorsement(parseCertificate(der))
  const isChip = endorsement.hwid !== undefined && equalBytes(endorsement.hwid, hwid(report, product))
  return isChip && isSameTcb(endorsement.tcb, toTcb(report.reportedTcb, product))
}

export function vcekRequest(base: string, report: SnpReport, product: HardwareProduct): DocumentRequest {
  const tcb = toTcb(report.reportedTcb, product)
  return {
    name: 'VCEK',
    url: `${base}/vcek/v1/${product}/${toHex(hwid(report, product))}?${tcbQuery(tcb, product)}`,
    refreshMs: VCEK_REFRESH_MS,
    read: ({ bytes }, now) => {
      const { notAfter } = parseCertificate(bytes)
      if (!isVcekOf(bytes, report, product)) throw unfit('a VCEK of another chip or TCB')
      if (notAfter.getTime() < now.getTime()) throw unfit(`a VCEK that ended ${notAfter.toISOString()}`)
      return { parts: [bytes], goodUntil: notAfter }
    },
  }
}

function tcbQuery({ fmc, bl, tee, snp, ucode }: Tcb, product: HardwareProduct): string {
  const classic = `blSPL=${bl}&teeSPL=${tee}&snpSPL=${snp}&ucodeSPL=${ucode}`
  return product === 'Turin' ? `fmcSPL=${fmc}&${classic}` : classic
}

/** ASK or ASVK, and ARK: parts in this order. */
export function chainRequest(base: string, product: HardwareProduct, kind: EndorsementKind): DocumentRequest {
  return {
    name: `${kind === 'vcek' ? 'ASK' : 'ASVK'} and ARK`,
    url: `${base}/${kind}/v1/${product}/cert_chain`,
    refreshMs: CHAIN_REFRESH_MS,
    read: async ({ bytes }, now) => {
      const [intermediate, root, ...rest] = readPemCertificates(bytes)
      if (!intermediate || !root || rest.length > 0) throw unfit('not two certificates')
      const certificates = [parseCertificate(intermediate), parseCertificate(root)] as const
      const [ca, ark] = certificates
      if (!(await verifyPssSha384(ark.publicKey.spki, ca.signature, ca.tbs))) throw unfit('a chain that does not hold')
      const goodUntil = new Date(Math.min(...certificates.map(({ notAfter }) => notAfter.getTime())))
      if (goodUntil.getTime() < now.getTime()) throw unfit(`a chain that ended ${goodUntil.toISOString()}`)
      return { parts: [intermediate, root], goodUntil }
    },
  }
}

/** The root's revocation list. @param root DER of the ARK that must have signed it. */
export function crlRequest(
  base: string,
  { product, kind, root }: { product: HardwareProduct; kind: EndorsementKind; root: Uint8Array },
): DocumentRequest {
  return {
    name: `revocation list for ${kind}`,
    url: `${base}/${kind}/v1/${product}/crl`,
    refreshMs: CRL_REFRESH_MS,
    read: async ({ bytes }, now) => {
      const list = parseCrl(bytes)
      const ark = parseCertificate(root)
      const isGenuine = await verifyPssSha384(ark.publicKey.spki, list.signature, list.tbs)
      if (!isGenuine) throw unfit('a list that the ARK did not sign')
      if (list.nextUpdate.getTime() < now.getTime()) throw unfit(`a list that ended ${list.nextUpdate.toISOString()}`)
      return { parts: [bytes], goodUntil: list.nextUpdate }
    },
  }
}

function unfit(got: string): TrustedPodsError {
  return new TrustedPodsError('ATTEST_UNAVAILABLE', `the key distribution service gives ${got}`)
}
