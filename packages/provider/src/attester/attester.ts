/** What makes evidence: the machine's own hardware, or its simulation. Spec: spec/ATTESTATION.md#attester. */

import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CollateralSchema, EventLogSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'

/** Hardware evidence with all that a verifier needs besides its policy. */
export interface Quote {
  /** The report or quote as the hardware signed it. */
  readonly report: Uint8Array
  /** DER, the endorsement of the signing key first, its root last. */
  readonly certificates: Uint8Array[]
  /** DER. */
  readonly crls: Uint8Array[]
  /** TDX: what Intel signed about the platform. */
  readonly collateral?: MessageInitShape<typeof CollateralSchema>[]
  /** TDX: what the guest's measurement registers were extended with at boot. */
  readonly eventLog?: MessageInitShape<typeof EventLogSchema>
}

export interface Attester {
  readonly evidenceType: 'snp' | 'tdx'
  readonly simulated: boolean
  /** Platform id that the evidence will name: announced, so that publishers can pin to it. Undefined: the hardware gives none.
   * @throws TrustedPodsError ATTEST_UNAVAILABLE while the machine gives no evidence. */
  findPlatformId(): Promise<Uint8Array | undefined>
  /** Evidence over 64 bytes of the caller's. @throws TrustedPodsError ATTEST_UNAVAILABLE when the machine gives none. */
  quote(reportData: Uint8Array, options?: { signal?: AbortSignal }): Promise<Quote>
}
