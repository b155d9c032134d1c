/** What is stapled to evidence, and where it comes from. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CollateralSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'

export interface Stapled {
  /** DER: VCEK or VLEK, ASK or ASVK, ARK; none for TDX. */
  readonly certificates: Uint8Array[]
  /** DER. */
  readonly crls: Uint8Array[]
  readonly collateral: MessageInitShape<typeof CollateralSchema>[]
}

/** Where the makers of processors publish; a mirror of one's own may take their place. */
export interface EndorsementUrls {
  readonly kds: string
  readonly pcs: string
  readonly intelRootCrl: string
}
