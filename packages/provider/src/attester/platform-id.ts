/** The id of the platform that made evidence, as a verifier will read it. Spec: spec/ATTESTATION.md#platform. Pure. */
import { platformId } from '@trusted-pods/protocol/attestation/snp/appraise-endorsement.ts'
import { readEndorsement } from '@trusted-pods/protocol/attestation/snp/endorsement.ts'
import { endorsementKind, productByName } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { parseSnpReport } from '@trusted-pods/protocol/attestation/snp/report.ts'
import { readPck } from '@trusted-pods/protocol/attestation/tdx/pck.ts'
import { parseCertificate } from '@trusted-pods/protocol/attestation/x509.ts'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import type { Attester, Quote } from './attester.ts'
import { readPlatformFacts } from './endorsements/pcs.ts'

/** Undefined: the hardware gives none (a VLEK, a hidden chip, a Processor CA).
 * @throws TrustedPodsError where the evidence cannot be read. */
export function readPlatformId(quote: Quote, type: Attester['evidenceType']): Uint8Array | undefined {
  return type === 'snp' ? readChipId(quote) : readInstanceId(quote)
}

function readChipId({ report, certificates: [leaf] }: Quote): Uint8Array | undefined {
  if (leaf === undefined) return undefined
  const certificate = parseCertificate(leaf)
  const product = productByName(readEndorsement(certificate).productName)
  const id = platformId(parseSnpReport(report), endorsementKind(certificate.subject.commonName), product)
  return id === undefined ? undefined : fromHex(id)
}

function readInstanceId({ report }: Quote): Uint8Array | undefined {
  const [pck] = readPlatformFacts(report).chain
  return pck && readPck(parseCertificate(pck)).platformInstanceId
}
