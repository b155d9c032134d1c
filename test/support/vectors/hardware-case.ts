/** What SNP and TDX cases have in common once their files are read. */

import type { MessageInitShape } from '@bufbuild/protobuf'
import type { TrustAnchors } from '@trusted-pods/protocol/attestation/appraise.ts'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import type { Evidence, EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'

/** What the hardware's format decides of a case. */
export interface HardwareCase {
  readonly kind: 'snp' | 'tdx'
  readonly parts: Partial<Pick<MessageInitShape<typeof EvidenceSchema>, 'certificates' | 'crls' | 'collateral'>> &
    Pick<Evidence, 'report'>
  readonly policy: Policy
  /** Left out: the pinned ones. */
  readonly anchors?: TrustAnchors
  /** What the report has: expected where the case names nothing else. */
  readonly reportData: Uint8Array
  /** Its root is not a pinned one, so without `anchors` it must be refused. */
  readonly isForeign: boolean
}
