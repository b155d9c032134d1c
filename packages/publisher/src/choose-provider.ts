/** Which announced providers could run a pod, the cheapest first, and why the others could not. Spec: spec/REGISTRY.md#choice. Pure. */
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Resource } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { cost, counters, ratePerHour } from '@trusted-pods/protocol/pricing/price.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Address } from 'viem'
import type { ProviderOffer } from './offer.ts'
import { pricingIn } from './payment.ts'

const SECONDS_PER_MONTH = 2_628_000n

export interface ProviderChoice {
  /** What one replica needs. */
  resources: readonly Resource[]
  policy: Policy
  /** What we pay in. */
  chainId: bigint
  token: Address
  /** Base units per hour: none whose announced prices are above. */
  maxRatePerHour?: bigint
  /** Only this provider: its peer id or its account. */
  only?: string
}

export interface RankedOffer {
  readonly offer: ProviderOffer
  /** The announced list in our token. */
  readonly pricing: PricingTable
  /** Base units for the pod's first hour, by the announced prices. */
  readonly ratePerHour: bigint
  /** Base units for what is reserved, by the announced prices, without the start. */
  readonly costPerHour: bigint
  /** Of 730 hours. */
  readonly costPerMonth: bigint
}

export interface RejectedOffer {
  readonly offer: ProviderOffer
  /** Why, for people. */
  readonly reason: string
}

export interface Choice {
  /** The cheapest first; among equals by peer id, so that the order is the same each time. */
  readonly ranked: readonly RankedOffer[]
  readonly rejected: readonly RejectedOffer[]
}

export function chooseProvider(offers: readonly ProviderOffer[], wanted: ProviderChoice): Choice {
  const judged = offers.map((offer) => judge(offer, wanted))
  const ranked = judged.filter((one) => 'ratePerHour' in one)
  ranked.sort((a, b) => compare(a.ratePerHour, b.ratePerHour) || compare(a.offer.peerId, b.offer.peerId))
  return { ranked, rejected: judged.filter((one) => 'reason' in one) }
}

/** The ranked offers, of which there is at least one.
 * @throws TrustedPodsError QUOTE_NO_PROVIDER saying why each provider is out of question. */
export function requireProvider({ ranked, rejected }: Choice): readonly RankedOffer[] {
  if (ranked.length > 0) return ranked
  const shown = rejected.slice(0, MAX_REASONS).map(({ offer, reason }) => `${offer.peerId}: ${reason}`)
  const more = rejected.length > MAX_REASONS ? `; and ${rejected.length - MAX_REASONS} more` : ''
  throw new TrustedPodsError(
    'QUOTE_NO_PROVIDER',
    `no provider for this pod: ${shown.join('; ') || 'none is announced'}${more}`,
  )
}

/** Reasons in one message. */
const MAX_REASONS = 5

function judge(offer: ProviderOffer, wanted: ProviderChoice): RankedOffer | RejectedOffer {
  if (wanted.only !== undefined && !isNamed(offer, wanted.only)) return { offer, reason: 'not the provider asked for' }
  if (!hasAcceptedEvidence(offer, wanted.policy))
    return { offer, reason: `offers no evidence of type ${list(wanted.policy.evidence)}` }
  const pricing = pricingIn(offer.pricing, wanted)
  if (!pricing) return { offer, reason: `has no prices in token ${wanted.token} on chain ${wanted.chainId}` }
  const short = missing(offer, wanted.resources)
  if (short !== undefined) return { offer, reason: short }
  try {
    return price(offer, pricing, wanted)
  } catch (error) {
    // Its own price list is what cannot be used: the others must not suffer from it.
    return { offer, reason: error instanceof TrustedPodsError ? boundText(error.message) : 'its prices cannot be read' }
  }
}

function price(
  offer: ProviderOffer,
  pricing: PricingTable,
  { resources, maxRatePerHour }: ProviderChoice,
): RankedOffer | RejectedOffer {
  const rate = ratePerHour(pricing, resources)
  if (maxRatePerHour !== undefined && rate > maxRatePerHour)
    return {
      offer,
      reason: `asks for ${formatAmount(rate, pricing)} per hour, ${formatAmount(maxRatePerHour, pricing)} at most are wanted`,
    }
  const costOf = (seconds: bigint) => cost(pricing, counters(resources, pricing, seconds, { starts: 0n }))
  return { offer, pricing, ratePerHour: rate, costPerHour: costOf(3600n), costPerMonth: costOf(SECONDS_PER_MONTH) }
}

function isNamed({ peerId, account }: ProviderOffer, name: string): boolean {
  return peerId === name || account.toLowerCase() === name.toLowerCase()
}

/** Simulated evidence is asked for by naming its root: without one no such provider can be accepted. */
function hasAcceptedEvidence({ attestations }: ProviderOffer, policy: Policy): boolean {
  return attestations.some(
    ({ evidenceType, simulated }) =>
      policy.evidence.some((type) => type === evidenceType) && (!simulated || policy.simulatedRoots.length > 0),
  )
}

/** What the machine as a whole is too small for; what is free is asked later. */
function missing({ capacity }: ProviderOffer, resources: readonly Resource[]): string | undefined {
  if (capacity.length === 0) return undefined
  for (const { name, selector, quantity } of resources) {
    const lines = capacity.filter((one) => one.name === name && (selector === '' || one.selector === selector))
    const total = lines.reduce((sum, one) => sum + one.quantity, 0n)
    if (total < quantity) {
      const what = selector === '' ? name : `${name} (${selector})`
      return `has ${total} of ${what} in all, ${quantity} are needed`
    }
  }
  return undefined
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a === b ? 0 : a < b ? -1 : 1
}

function list(names: readonly string[]): string {
  return names.join(' or ') || 'that the policy names: it names none'
}
