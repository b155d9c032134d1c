import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { toAddress, ZERO_ADDRESS } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import { PaymentChannelSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import { fromProtoChannel, type OpenedChannel, toProtoChannel } from './payment-channel.ts'

const CHANNEL: OpenedChannel = {
  chainId: 31_337n,
  escrow: toAddress(new Uint8Array(20).fill(1)),
  terms: {
    payer: toAddress(new Uint8Array(20).fill(2)),
    voucherSigner: ZERO_ADDRESS,
    provider: toAddress(new Uint8Array(20).fill(3)),
    meter: toAddress(new Uint8Array(20).fill(4)),
    token: toAddress(new Uint8Array(20).fill(5)),
    ratePerHour: 45_000n,
    unlockDelay: 3600,
    podId: `0x${'ab'.repeat(32)}`,
  },
  openTransaction: `0x${'cd'.repeat(32)}`,
}

test('an opened channel comes back unchanged from the wire', () => {
  const bytes = toBinary(PaymentChannelSchema, toProtoChannel(CHANNEL))
  assert.deepEqual(fromProtoChannel(fromBinary(PaymentChannelSchema, bytes)), CHANNEL)
})

test('a channel without terms, or with an escrow of another size, is refused with CHANNEL_BAD_TERMS', () => {
  const { terms, ...withoutTerms } = toProtoChannel(CHANNEL)
  assert.ok(terms)
  for (const channel of [
    create(PaymentChannelSchema, withoutTerms),
    { ...toProtoChannel(CHANNEL), escrow: new Uint8Array(19) },
  ]) {
    assert.throws(
      () => fromProtoChannel(channel),
      (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_BAD_TERMS',
    )
  }
})
