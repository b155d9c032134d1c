/** The most that a deployment may cost, held against its plan before anything is stored or paid. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import type { Plan } from './plan.ts'

export interface SpendLimits {
  /** Base units that the provider may claim for an hour; 'announced': what its announced prices give for this pod. */
  readonly maxRatePerHour?: bigint | 'announced'
  /** Base units in the channel; 'asked': no more than was chosen, whatever the provider takes at least. */
  readonly maxDeposit?: bigint | 'asked'
}

/** @throws TrustedPodsError QUOTE_TOO_EXPENSIVE with what is asked for, what is allowed, and what to do. */
export function requireWithin(plan: Plan, { maxRatePerHour, maxDeposit }: SpendLimits): void {
  const money = (units: bigint) => formatAmount(units, plan.pricing)
  const rate = maxRatePerHour === 'announced' ? requireAnnounced(plan) : maxRatePerHour
  if (rate !== undefined && plan.ratePerHour > rate) {
    const source = maxRatePerHour === 'announced' ? 'announced' : 'allowed'
    refuse(
      `the quote is ${money(plan.ratePerHour)} per hour, ${source} are ${money(rate)}: allow more or choose another provider`,
    )
  }
  const deposit = maxDeposit === 'asked' ? (plan.depositRaisedFrom ?? plan.deposit) : maxDeposit
  if (deposit !== undefined && plan.deposit > deposit) {
    const why = plan.depositRaisedFrom === undefined ? 'the deposit is' : 'the provider takes a deposit of at least'
    refuse(`${why} ${money(plan.deposit)}, allowed are ${money(deposit)}: allow more or choose another provider`)
  }
}

function requireAnnounced({ announcedRatePerHour }: Plan): bigint {
  if (announcedRatePerHour !== undefined) return announcedRatePerHour
  return refuse(
    'the provider has announced no price for this pod in this token, so the quote has nothing to be held against',
  )
}

function refuse(message: string): never {
  throw new TrustedPodsError('QUOTE_TOO_EXPENSIVE', message)
}
