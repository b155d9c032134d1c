/** A channel that was opened, to and from the wire. Spec: spec/PAYMENT.md#channel. Pure. */
import { create } from '@bufbuild/protobuf'
import type { Address, Hex } from 'viem'
import { fromHex, toHex } from '../bytes.ts'
import { fromAddress, toAddress } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import { type PaymentChannel, PaymentChannelSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import { type ChannelTerms, fromProtoTerms, toProtoTerms } from './terms.ts'

/** Where the channel is, its terms, and the transaction that opened it. */
export interface OpenedChannel {
  readonly chainId: bigint
  readonly escrow: Address
  readonly terms: ChannelTerms
  readonly openTransaction: Hex
}

export function toProtoChannel({ chainId, escrow, terms, openTransaction }: OpenedChannel): PaymentChannel {
  return create(PaymentChannelSchema, {
    chainId,
    escrow: fromAddress(escrow),
    terms: toProtoTerms(terms),
    openTransaction: fromHex(openTransaction) ?? new Uint8Array(),
  })
}

/** @throws TrustedPodsError CHANNEL_BAD_TERMS when a part is missing or has another size. */
export function fromProtoChannel(channel: PaymentChannel): OpenedChannel {
  if (!channel.terms) throw new TrustedPodsError('CHANNEL_BAD_TERMS', 'the payment channel has no terms')
  return {
    chainId: channel.chainId,
    escrow: toAddress(channel.escrow),
    terms: fromProtoTerms(channel.terms),
    openTransaction: `0x${toHex(channel.openTransaction.slice(0, 32))}`,
  }
}
