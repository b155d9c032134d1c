import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { fromAddress, toAddress, ZERO_ADDRESS } from '../chain/address.ts'
import { type ErrorCode, TrustedPodsError } from '../errors.ts'
import { PaymentTermsSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import { type CheckChannelInput, checkChannel } from './check-channel.ts'

const [PAYER, PROVIDER, METER, TOKEN, ESCROW, OTHER] = [1, 2, 3, 4, 5, 6].map((byte) =>
  toAddress(new Uint8Array(20).fill(byte)),
) as [`0x${string}`, `0x${string}`, `0x${string}`, `0x${string}`, `0x${string}`, `0x${string}`]
const GOOD: CheckChannelInput = {
  chainId: 31_337n,
  escrow: ESCROW,
  terms: {
    payer: PAYER,
    voucherSigner: ZERO_ADDRESS,
    provider: PROVIDER,
    meter: METER,
    token: TOKEN,
    ratePerHour: 1000n,
    unlockDelay: 3600,
    podId: `0x${'01'.repeat(32)}`,
  },
  state: { deposited: 500n, claimed: 0n, openedAt: 1, accrualEnd: 0, closeAt: 0, closed: false },
  payment: create(PaymentTermsSchema, {
    chainId: 31_337n,
    escrow: fromAddress(ESCROW),
    provider: fromAddress(PROVIDER),
    meter: fromAddress(METER),
    ratePerHour: '1000',
    minUnlockDelaySeconds: 3600,
    minDeposit: '500',
  }),
  token: fromAddress(TOKEN),
  own: {
    chainId: 31_337,
    escrow: ESCROW,
    provider: PROVIDER,
    meter: METER,
    tokens: [OTHER, TOKEN],
    minUnlockDelaySeconds: 900,
  },
}

test('a channel that pays for the quote passes, also with more of everything', () => {
  checkChannel(GOOD)
  checkChannel(withTerms({ ratePerHour: 2000n, unlockDelay: 30 * 86_400 }))
  checkChannel(withState({ deposited: 10_000n }))
})

const REFUSED: ReadonlyArray<[why: string, code: ErrorCode, input: CheckChannelInput]> = [
  ['on another chain', 'CHANNEL_WRONG_CHAIN', { ...GOOD, chainId: 1n }],
  ['quoted on another chain', 'CHANNEL_WRONG_CHAIN', withPayment({ chainId: 1n })],
  ['in another escrow', 'CHANNEL_WRONG_CHAIN', { ...GOOD, escrow: OTHER }],
  ['quoted in another escrow', 'CHANNEL_WRONG_CHAIN', withPayment({ escrow: fromAddress(OTHER) })],
  ['for another provider', 'CHANNEL_BAD_TERMS', withTerms({ provider: OTHER })],
  ['of another meter', 'CHANNEL_BAD_TERMS', withTerms({ meter: OTHER })],
  ['without a meter', 'CHANNEL_BAD_TERMS', withTerms({ meter: ZERO_ADDRESS })],
  ['in another token than the quote', 'CHANNEL_BAD_TERMS', withTerms({ token: OTHER })],
  ['in a token that is not accepted', 'CHANNEL_BAD_TERMS', { ...GOOD, own: { ...GOOD.own, tokens: [OTHER] } }],
  ['without a payer', 'CHANNEL_BAD_TERMS', withTerms({ payer: ZERO_ADDRESS })],
  ['with a lower rate', 'CHANNEL_BAD_TERMS', withTerms({ ratePerHour: 999n })],
  ['with a shorter unlock delay than quoted', 'CHANNEL_BAD_TERMS', withTerms({ unlockDelay: 3599 })],
  ['with an unlock delay of nothing', 'CHANNEL_BAD_TERMS', withTerms({ unlockDelay: 0 })],
  [
    'with a longer unlock delay than the escrow takes',
    'CHANNEL_BAD_TERMS',
    withTerms({ unlockDelay: 30 * 86_400 + 1 }),
  ],
  [
    'with a shorter unlock delay than our own',
    'CHANNEL_BAD_TERMS',
    { ...GOOD, own: { ...GOOD.own, minUnlockDelaySeconds: 3601 } },
  ],
  ['that was never opened', 'CHANNEL_NOT_FOUND', { ...GOOD, state: undefined }],
  ['that is closed', 'CHANNEL_CLOSING', withState({ closed: true })],
  ['whose payer asked to close it', 'CHANNEL_CLOSING', withState({ closeAt: 9 })],
  ['that was claimed from', 'CHANNEL_IN_USE', withState({ claimed: 1n })],
  ['with too small a deposit', 'CHANNEL_UNDERFUNDED', withState({ deposited: 499n })],
]

for (const [why, code, input] of REFUSED) {
  test(`a channel ${why} is refused with ${code}`, () => {
    assert.throws(
      () => checkChannel(input),
      (error) => error instanceof TrustedPodsError && error.code === code,
    )
  })
}

function withTerms(change: Partial<CheckChannelInput['terms']>): CheckChannelInput {
  return { ...GOOD, terms: { ...GOOD.terms, ...change } }
}

function withState(change: Partial<NonNullable<CheckChannelInput['state']>>): CheckChannelInput {
  return { ...GOOD, state: { ...(GOOD.state as NonNullable<CheckChannelInput['state']>), ...change } }
}

function withPayment(change: Partial<CheckChannelInput['payment']>): CheckChannelInput {
  return { ...GOOD, payment: { ...GOOD.payment, ...change } }
}
