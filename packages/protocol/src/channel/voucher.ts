/** The payer's word, online, that the provider may claim up to a sum, above the cap too. Spec: spec/PAYMENT.md#voucher. Pure. */
import { type Address, type Hex, hashTypedData, isAddressEqual, type LocalAccount } from 'viem'
import { ZERO_ADDRESS } from '../chain/address.ts'
import { toSignatureBytes, verifySignature } from './signature.ts'
import { type ChannelTerms, channelId } from './terms.ts'
import { type EscrowRef, escrowDomain, VOUCHER_TYPES } from './typed-data.ts'

export interface VoucherOptions extends EscrowRef {
  readonly terms: ChannelTerms
}

export interface Voucher {
  /** Base units that may be claimed since the start. */
  readonly cumulative: bigint
  readonly signature: Uint8Array
}

/** @param options.account the payer, or the voucher signer that the terms name. */
export async function signVoucher(
  cumulative: bigint,
  options: VoucherOptions & { account: LocalAccount },
): Promise<Voucher> {
  const signature = await options.account.signTypedData(typedVoucher(cumulative, options))
  return { cumulative, signature: toSignatureBytes(signature) }
}

/** @throws TrustedPodsError CHANNEL_SIGNATURE when it is not signed for this channel by its voucher signer. */
export async function verifyVoucher(voucher: Voucher, options: VoucherOptions): Promise<void> {
  const hash: Hex = hashTypedData(typedVoucher(voucher.cumulative, options))
  const expected = { signer: voucherSigner(options.terms), code: 'CHANNEL_SIGNATURE', what: 'the voucher' } as const
  await verifySignature(hash, voucher.signature, expected)
}

function voucherSigner({ voucherSigner, payer }: ChannelTerms): Address {
  return isAddressEqual(voucherSigner, ZERO_ADDRESS) ? payer : voucherSigner
}

function typedVoucher(cumulative: bigint, options: VoucherOptions) {
  const message = { channelId: channelId(options.terms, options), cumulative }
  return { domain: escrowDomain(options), types: VOUCHER_TYPES, primaryType: 'Voucher', message } as const
}
