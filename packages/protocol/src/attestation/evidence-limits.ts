/** How much evidence may be: beyond it nothing is read. Spec: spec/ATTESTATION.md#limits. Pure. */
import type { Evidence } from '../gen/trustedpods/v0/attest_pb.ts'
import { NO_STATEMENT } from './appraise-binding.ts'
import { type Check, judge } from './checks.ts'

const KIB = 1024
/** What evidence may hold; spec/ATTESTATION.md#limits. A certificate of AMD's has 1.7 KiB, a revocation list 0.9. */
const MAX_REPORT_BYTES = 64 * KIB
const MAX_CERTIFICATES = 8
const MAX_CERTIFICATE_BYTES = 8 * KIB
const MAX_CRLS = 4
const MAX_CRL_BYTES = 256 * KIB
const MAX_CAPACITY_BYTES = 64 * KIB
const MAX_CLAIMS_BYTES = 16 * KIB
/** TCB info has 3 to 7 KiB. */
const MAX_COLLATERAL = 4
const MAX_COLLATERAL_BYTES = 64 * KIB
const MAX_COLLATERAL_CERTIFICATES = 4
/** Of an ECDSA P-256 signature, r and s. */
const MAX_SIGNATURE_BYTES = 64
const MAX_LOG_BYTES = 128 * KIB
/** Of each peer id, evidence type, kind of collateral and format of a log. */
const MAX_FIELD_BYTES = 128

/** Whether evidence keeps the limits; where it does not, nothing else of it is examined. */
export function checkSize(evidence: Evidence): Check {
  const statement = evidence.statement ?? NO_STATEMENT
  const { collateral, eventLog } = evidence
  const kinds = collateral.map(({ kind }) => kind)
  const fields = [statement.publisherPeerId, statement.providerPeerId, statement.evidenceType]
  const names = [...kinds, eventLog?.format ?? '']
  const over = [
    ...(evidence.report.length > MAX_REPORT_BYTES ? ['report'] : []),
    ...(isOver(evidence.certificates, MAX_CERTIFICATES, MAX_CERTIFICATE_BYTES) ? ['certificates'] : []),
    ...(isOver(evidence.crls, MAX_CRLS, MAX_CRL_BYTES) ? ['revocation lists'] : []),
    ...(evidence.capacityResponse.length > MAX_CAPACITY_BYTES ? ['capacity response'] : []),
    ...(evidence.claims.length > MAX_CLAIMS_BYTES ? ['claims'] : []),
    ...(isCollateralOver(collateral) ? ['collateral'] : []),
    ...((eventLog?.log.length ?? 0) > MAX_LOG_BYTES ? ['event log'] : []),
    ...(names.some(({ length }) => length > MAX_FIELD_BYTES) ? ['name'] : []),
    ...(fields.some(({ length }) => length > MAX_FIELD_BYTES) ? ['statement'] : []),
  ]
  return judge('format.size', over.length === 0, 'all within the limits', over.join(', ') || 'within the limits')
}

function isOver(items: readonly Uint8Array[], count: number, bytes: number): boolean {
  return items.length > count || items.some(({ length }) => length > bytes)
}

function isCollateralOver(collateral: Evidence['collateral']): boolean {
  return (
    collateral.length > MAX_COLLATERAL ||
    collateral.some(
      ({ body, signature, certificates }) =>
        body.length > MAX_COLLATERAL_BYTES ||
        signature.length > MAX_SIGNATURE_BYTES ||
        isOver(certificates, MAX_COLLATERAL_CERTIFICATES, MAX_CERTIFICATE_BYTES),
    )
  )
}
