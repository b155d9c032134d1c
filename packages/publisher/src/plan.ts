/** What a deployment will cost and what it will send to whom: shown before any money moves. Pure. */
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { toAddress } from '@trusted-pods/protocol/chain/address.ts'
import { MIN_UNLOCK_DELAY_SECONDS } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { PaymentTerms } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Resource } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { cost, counters, ratePerHour as rateOf } from '@trusted-pods/protocol/pricing/price.ts'
import { heldUntil } from '@trusted-pods/protocol/pricing/quote.ts'
import type { Address } from 'viem'
import type { Funding } from './funding.ts'
import type { ProviderOffer } from './offer.ts'
import type { AgreedQuote } from './quote.ts'

/** How much to put into the channel. */
export type DepositChoice =
  /** Base units. */
  | { readonly kind: 'amount'; readonly amount: bigint }
  /** What the rate allows in that time. */
  | { readonly kind: 'hours'; readonly hours: number }

const MS_PER_HOUR = 3_600_000n
const SECONDS_PER_MONTH = 2_628_000n

/** A day: a first pod does not die overnight, and what is not used comes back. */
export const DEFAULT_DEPOSIT: DepositChoice = { kind: 'hours', hours: 24 }

export interface Plan {
  readonly provider: {
    readonly peerId: string
    readonly account: Address
    readonly region: string
    readonly sandbox: string
  }
  /** How the evidence was judged. */
  readonly evidence: { readonly type: string; readonly tier: string; readonly simulated: boolean }
  readonly resources: readonly Resource[]
  readonly pricing: PricingTable
  /** Base units for what is reserved. */
  readonly costPerHour: bigint
  readonly costPerDay: bigint
  /** A month is 730 hours. */
  readonly costPerMonth: bigint
  /** Base units, once for a start. */
  readonly costOfStart: bigint
  /** The most that may come to it for an hour's traffic: all of what is allowed, base units. */
  readonly costOfTrafficPerHour: bigint
  /** The most that the provider can claim for an hour, base units. */
  readonly ratePerHour: bigint
  /** The same by the announced prices; absent: none were announced for this pod in this token. */
  readonly announcedRatePerHour?: bigint
  readonly deposit: bigint
  /** Who sends the opening, and why. */
  readonly funding?: Funding
  /** What the deposit would be, did the provider not take more at least; absent: it is what was chosen. */
  readonly depositRaisedFrom?: bigint
  /** How long the deposit lasts at the rate; absent: for ever, the rate is 0. */
  readonly depositHours?: number
  /** When it is used up at the rate, did the pod start now; absent: never. */
  readonly runsUntil?: Date
  /** How long the refund waits when the provider is gone. */
  readonly unlockDelaySeconds: number
  readonly quoteExpiresAt: Date
  /** Until when the provider keeps the place; absent: it is ours only while nobody else takes it. */
  readonly heldUntil?: Date
  readonly priceChanges: readonly string[]
  /** What leaves this machine, and who can read it. */
  readonly sends: readonly { readonly what: string; readonly to: string }[]
}

export interface PlanOptions {
  offer: ProviderOffer
  verdict: Verdict
  /** The price list that the provider announced in the token of the quote. */
  announced?: PricingTable
  /** How the channel is funded. */
  funding?: Funding
  deposit?: DepositChoice
  now?: Date
}

/** @throws TrustedPodsError CHANNEL_UNDERFUNDED when the deposit asked for is below what the provider takes. */
export function makePlan(
  quote: AgreedQuote,
  { offer, verdict, announced, funding, deposit = DEFAULT_DEPOSIT, now = new Date() }: PlanOptions,
): Plan {
  const { pricing, payment, resources } = quote.quote
  const ratePerHour = BigInt(payment.ratePerHour)
  const announcedRatePerHour = announced && announcedRate(announced, resources)
  const { amount, raisedFrom } = depositFor(deposit, { ratePerHour, minDeposit: leastDeposit(payment, funding) })
  const held = heldUntil(quote.quote)
  const priced = (seconds: bigint, starts: bigint, usage: readonly Resource[] = []) =>
    cost(pricing, counters(resources, pricing, seconds, { starts, usage }))
  return {
    provider: {
      peerId: offer.peerId,
      account: toAddress(payment.provider),
      region: offer.region,
      sandbox: offer.sandbox,
    },
    evidence: { type: verdict.evidenceType, tier: verdict.tier, simulated: verdict.simulated },
    resources,
    pricing,
    costPerHour: priced(3600n, 0n),
    costPerDay: priced(86_400n, 0n),
    costPerMonth: priced(SECONDS_PER_MONTH, 0n),
    costOfStart: priced(0n, 1n),
    costOfTrafficPerHour: priced(3600n, 0n, resources) - priced(3600n, 0n),
    ratePerHour,
    ...(announcedRatePerHour !== undefined && { announcedRatePerHour }),
    deposit: amount,
    ...(funding && { funding }),
    ...(raisedFrom !== undefined && { depositRaisedFrom: raisedFrom }),
    ...(ratePerHour > 0n && lasting(amount, ratePerHour, now)),
    unlockDelaySeconds: Math.max(payment.minUnlockDelaySeconds, MIN_UNLOCK_DELAY_SECONDS),
    quoteExpiresAt: quote.expiresAt,
    ...(held && { heldUntil: held }),
    priceChanges: quote.priceChanges,
    sends: whatIsSent(formatAmount(amount, pricing)),
  }
}

/** A provider that pays the gas may want more. */
function leastDeposit({ minDeposit, relayMinDeposit }: PaymentTerms, funding: Funding | undefined): bigint {
  return BigInt(funding?.kind === 'relayed' && relayMinDeposit !== '' ? relayMinDeposit : minDeposit)
}

/** The last moment that a Date can hold: a deposit that outlasts it lasts for ever to people. */
const LAST_MS = 8_640_000_000_000_000n

function lasting(deposit: bigint, ratePerHour: bigint, now: Date): Pick<Plan, 'depositHours' | 'runsUntil'> {
  const endMs = BigInt(now.getTime()) + (deposit * MS_PER_HOUR) / ratePerHour
  return {
    depositHours: Number((deposit * 100n) / ratePerHour) / 100,
    ...(endMs <= LAST_MS && { runsUntil: new Date(Number(endMs)) }),
  }
}

function depositFor(
  choice: DepositChoice,
  { ratePerHour, minDeposit }: { ratePerHour: bigint; minDeposit: bigint },
): { amount: bigint; raisedFrom?: bigint } {
  if (choice.kind === 'amount') {
    if (choice.amount >= minDeposit) return { amount: choice.amount }
    throw new TrustedPodsError(
      'CHANNEL_UNDERFUNDED',
      `the deposit is ${choice.amount} base units, the provider takes ${minDeposit} at least`,
    )
  }
  // Hundredths of an hour, rounded up: an hour count is a person's word, the money in it is not.
  const wanted = (ratePerHour * BigInt(Math.ceil(choice.hours * 100)) + 99n) / 100n
  return wanted < minDeposit ? { amount: minDeposit, raisedFrom: wanted } : { amount: wanted }
}

/** undefined: the list does not price this pod. */
function announcedRate(announced: PricingTable, resources: readonly Resource[]): bigint | undefined {
  try {
    return rateOf(announced, resources)
  } catch (error) {
    // A list that cannot be used announces nothing: whoever set limits by it is told so.
    if (error instanceof TrustedPodsError) return undefined
    throw error
  }
}

function whatIsSent(deposit: string): Plan['sends'] {
  return [
    { what: `${deposit} and the terms of the channel`, to: 'the escrow contract; public' },
    { what: 'the manifest with environment, secrets and image keys', to: 'the attested machine, sealed to its key' },
    { what: 'the encrypted images', to: 'the provider; unreadable without the keys' },
  ]
}
