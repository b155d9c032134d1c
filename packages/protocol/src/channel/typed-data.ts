/** The EIP-712 domains and types of the escrow contract and of a provision. Spec: spec/PAYMENT.md#typed-data. Pure. */
import type { Address, TypedDataDomain } from 'viem'

/** Where a channel lives. */
export interface EscrowRef {
  readonly chainId: number | bigint
  readonly escrow: Address
}

export function escrowDomain({ chainId, escrow }: EscrowRef): TypedDataDomain {
  return { name: 'Trusted Pods Escrow', version: '1', chainId: BigInt(chainId), verifyingContract: escrow }
}

/** The order of the fields is the order in the hash. */
export const TERMS_TYPES = {
  Terms: [
    { name: 'payer', type: 'address' },
    { name: 'voucherSigner', type: 'address' },
    { name: 'provider', type: 'address' },
    { name: 'meter', type: 'address' },
    { name: 'token', type: 'address' },
    { name: 'ratePerHour', type: 'uint96' },
    { name: 'unlockDelay', type: 'uint32' },
    { name: 'podId', type: 'bytes32' },
  ],
} as const

export const RECEIPT_TYPES = {
  Receipt: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'cumulative', type: 'uint128' },
    { name: 'usageHash', type: 'bytes32' },
  ],
} as const

export const VOUCHER_TYPES = {
  Voucher: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'cumulative', type: 'uint128' },
  ],
} as const

export const CLOSE_TYPES = {
  Close: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'cumulative', type: 'uint128' },
    { name: 'deadline', type: 'uint64' },
  ],
} as const

export const PROVISION_TYPES = {
  Provision: [
    { name: 'channelId', type: 'bytes32' },
    { name: 'podDigest', type: 'bytes32' },
    { name: 'quoteDigest', type: 'bytes32' },
    { name: 'publisherPeer', type: 'bytes' },
    { name: 'providerPeer', type: 'bytes' },
  ],
} as const
