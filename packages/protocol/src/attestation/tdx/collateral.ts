/** Collateral as evidence carries it: the exact signed bytes, their signature, the signer's chain. Spec: spec/ATTESTATION.md#collateral. Pure. */
import { fromHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'

export const TCB_INFO = 'tdx-tcb-info'
export const QE_IDENTITY = 'tdx-qe-identity'

/** One signed statement of Intel's. */
export interface Collateral {
  readonly kind: string
  /** The JSON text as it was signed: written anew it would have other bytes. */
  readonly body: Uint8Array
  /** r and s, 32 bytes each. */
  readonly signature: Uint8Array
  /** DER, the signing certificate first. */
  readonly certificates: readonly Uint8Array[]
}

/** Name of the signed member in the answers of Intel's service. */
const MEMBERS: Readonly<Record<string, string>> = { [TCB_INFO]: 'tcbInfo', [QE_IDENTITY]: 'enclaveIdentity' }

/**
 * Cuts an answer of Intel's service, {"tcbInfo":{…},"signature":"<hex>"}, into the exact signed bytes and the signature.
 * @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED where the answer is not of exactly this form.
 */
export function splitCollateral(
  kind: typeof TCB_INFO | typeof QE_IDENTITY,
  answer: string,
): Pick<Collateral, 'body' | 'signature'> {
  const match = /^\s*\{\s*"([A-Za-z]+)"\s*:\s*(\{[\s\S]*\})\s*,\s*"signature"\s*:\s*"([0-9a-fA-F]{128})"\s*\}\s*$/.exec(
    answer,
  )
  const [, member, body, hex = ''] = match ?? []
  const signature = fromHex(hex)
  if (member !== MEMBERS[kind] || body === undefined || signature === undefined) {
    throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `expected {"${MEMBERS[kind]}": …, "signature": …}`)
  }
  return { body: new TextEncoder().encode(body), signature }
}
