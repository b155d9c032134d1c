import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type PaymentTerms, PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import {
  PriceKind,
  type PricingTable,
  PricingTableSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { getAddress } from 'viem'
import type { ProviderOffer } from './offer.ts'
import { type DepositChoice, makePlan, type Plan } from './plan.ts'
import type { AgreedQuote } from './quote.ts'
import { requireWithin, type SpendLimits } from './spend-limits.ts'

const EXPIRES_AT = new Date('2030-01-01T00:00:00Z')
const VERDICT: Verdict = {
  tier: 'warning',
  checks: [],
  simulated: true,
  evidenceType: 'snp',
  verifiedAt: EXPIRES_AT,
  expiresAt: EXPIRES_AT,
}
const OFFER: ProviderOffer = {
  peerId: 'peer',
  account: getAddress(`0x${'aa'.repeat(20)}`),
  multiaddrs: [],
  region: 'DE/fsn1',
  sandbox: 'runsc',
  pricing: [],
  capacity: [],
  attestations: [],
  expiresAt: EXPIRES_AT,
}

type PaymentChanges = Partial<Pick<PaymentTerms, 'ratePerHour' | 'minDeposit'>>

/** 500 mCPU at 45,000 per vCPU-hour and 1,000 for a start. */
function agreed(payment: PaymentChanges = {}): AgreedQuote {
  const pricing = create(PricingTableSchema, {
    decimals: 6,
    symbol: 'USDC',
    prices: [
      { resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n },
      { resource: 'start', kind: PriceKind.FLAT, amount: '1000', perQuantity: 1n },
    ],
  })
  const terms = create(PaymentTermsSchema, {
    provider: new Uint8Array(20).fill(1),
    ratePerHour: '23500',
    minUnlockDelaySeconds: 60,
    minDeposit: '5000',
    ...payment,
  })
  const quote = create(QuoteSchema, { resources: [{ name: 'cpu', quantity: 500n }], pricing, payment: terms })
  return {
    signed: create(SignedQuoteSchema),
    quote: Object.assign(quote, { pricing, payment: terms }),
    digest: new Uint8Array(32),
    expiresAt: EXPIRES_AT,
    priceChanges: [],
  }
}

function plan(deposit?: DepositChoice, payment: PaymentChanges = {}, announced?: PricingTable) {
  const known = { ...(deposit && { deposit }), ...(announced && { announced }) }
  return makePlan(agreed(payment), { offer: OFFER, verdict: VERDICT, ...known })
}

/** The agreed list with another price of cpu. */
function announcedAt(amount: string): PricingTable {
  const { pricing } = agreed().quote
  const prices = pricing.prices.map((price) => (price.resource === 'cpu' ? { ...price, amount } : price))
  return { ...pricing, prices }
}

test('a plan tells the cost of an hour, a day, a month and a start apart from the rate that the channel allows', () => {
  const { costPerHour, costPerDay, costPerMonth, costOfStart, ratePerHour } = plan()
  assert.deepEqual([costPerHour, costPerDay, costPerMonth], [22_500n, 540_000n, 730n * 22_500n])
  assert.deepEqual([costOfStart, ratePerHour], [1000n, 23_500n])
})

test('a plan tells until when the deposit lasts, and how long the place is kept', () => {
  const now = new Date('2026-05-01T10:00:00Z')
  const at = (quote: AgreedQuote, deposit: DepositChoice) =>
    makePlan(quote, { offer: OFFER, verdict: VERDICT, deposit, now })
  assert.deepEqual(at(agreed(), { kind: 'amount', amount: 70_500n }).runsUntil, new Date('2026-05-01T13:00:00Z'))
  assert.equal(at(agreed(), { kind: 'amount', amount: 10n ** 30n }).runsUntil, undefined)
  assert.equal(at(agreed({ ratePerHour: '0' }), { kind: 'amount', amount: 70_500n }).runsUntil, undefined)
  assert.equal(plan().heldUntil, undefined)
  const held = agreed()
  held.quote.holdExpiresAtMs = BigInt(EXPIRES_AT.getTime())
  assert.deepEqual(at(held, { kind: 'amount', amount: 70_500n }).heldUntil, EXPIRES_AT)
})

test('a day is paid in unless told otherwise; hours and amounts are taken as they are', () => {
  assert.equal(plan().deposit, 24n * 23_500n)
  assert.equal(plan({ kind: 'hours', hours: 2 }).deposit, 47_000n)
  assert.equal(plan({ kind: 'hours', hours: 0.5 }).deposit, 11_750n)
  assert.equal(plan({ kind: 'amount', amount: 70_500n }).depositHours, 3)
})

test('few hours are raised to what the provider takes; a smaller amount is refused', () => {
  assert.equal(plan({ kind: 'hours', hours: 0.01 }).deposit, 5000n)
  assert.throws(
    () => plan({ kind: 'amount', amount: 4999n }),
    (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_UNDERFUNDED',
  )
})

test('at a rate of nothing the deposit lasts for ever', () => {
  assert.equal(plan(undefined, { ratePerHour: '0' }).depositHours, undefined)
})

test('a plan names everything that leaves, and that the evidence is simulated', () => {
  const { sends, evidence, unlockDelaySeconds } = plan()
  assert.equal(sends.length, 3)
  assert.match(sends.map(({ what }) => what).join(), /0\.564 USDC and the terms.*manifest.*encrypted images/)
  assert.equal(evidence.simulated, true)
  assert.equal(unlockDelaySeconds, 900)
})

test('a deposit that the provider raised and a rate above the announced one stand in the plan', () => {
  assert.equal(plan({ kind: 'hours', hours: 0.01 }).depositRaisedFrom, 235n)
  assert.equal(plan({ kind: 'hours', hours: 1 }).depositRaisedFrom, undefined)
  assert.equal(plan(undefined, {}, announcedAt('45')).announcedRatePerHour, 1023n)
  assert.equal(plan().announcedRatePerHour, undefined)
  const other = { ...announcedAt('45'), prices: [] }
  assert.equal(plan(undefined, {}, other).announcedRatePerHour, undefined)
})

test('a plan above the limits is refused with QUOTE_TOO_EXPENSIVE: what is asked, what is allowed, what to do', () => {
  const hour = { kind: 'hours', hours: 1 } as const
  const dear = plan(hour, {}, announcedAt('45'))
  const raised = plan({ kind: 'hours', hours: 0.01 })
  const refusals: [Plan, SpendLimits, RegExp][] = [
    [
      dear,
      { maxRatePerHour: 'announced' },
      /quote is 0\.0235 USDC per hour, announced are 0\.001023 USDC: allow more or/,
    ],
    [dear, { maxRatePerHour: 23_499n }, /quote is 0\.0235 USDC per hour, allowed are 0\.023499 USDC/],
    [plan(hour), { maxRatePerHour: 'announced' }, /has announced no price for this pod/],
    [raised, { maxDeposit: 'asked' }, /takes a deposit of at least 0\.005 USDC, allowed are 0\.000235 USDC/],
    [raised, { maxDeposit: 4999n }, /at least 0\.005 USDC, allowed are 0\.004999 USDC/],
    [plan(hour), { maxDeposit: 23_499n }, /the deposit is 0\.0235 USDC, allowed are 0\.023499 USDC/],
  ]
  for (const [made, limits, message] of refusals) {
    assert.throws(
      () => requireWithin(made, limits),
      (error) =>
        error instanceof TrustedPodsError && error.code === 'QUOTE_TOO_EXPENSIVE' && message.test(error.message),
    )
  }
})

test('a plan up to its limits, or without any, is not refused', () => {
  const hour = { kind: 'hours', hours: 1 } as const
  requireWithin(plan({ kind: 'hours', hours: 0.01 }, {}, announcedAt('1')), {})
  requireWithin(plan(hour, {}, announcedAt('45000')), { maxRatePerHour: 'announced', maxDeposit: 'asked' })
  requireWithin(plan(hour, {}, announcedAt('90000')), { maxRatePerHour: 'announced', maxDeposit: 23_500n })
  requireWithin(plan(hour), { maxRatePerHour: 23_500n })
  requireWithin(plan({ kind: 'amount', amount: 70_500n }), { maxDeposit: 'asked' })
})
