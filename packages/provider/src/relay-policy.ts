/** Whether a provider pays the gas of somebody else's deposit, and for which deposits. Spec: spec/PAYMENT.md#relay. Pure. */
import { larger } from '@trusted-pods/protocol/bigints.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

export interface RelayPolicy {
  /** Most wei that relaying may cost in 24 hours; 0: nothing is sent for others. */
  readonly relayWeiPerDay: bigint
  /** Base units of the token for 10^18 wei of the chain's coin; without it gas is not held against the deposit. */
  readonly coinPrice?: bigint
  /** Most of the deposit that its gas may cost, in hundredths. */
  readonly gasPercent: bigint
}

/** Measured: 90,000 for the close with the refund, with what a payer that holds no tokens any more costs on top. */
export const CLOSE_GAS = 110_000n
/** Measured: 125,000 for the opening, whose limit is a fifth above; and its close. */
const RELAY_GAS = 150_000n + CLOSE_GAS
const WEI_PER_COIN = 10n ** 18n
/** One payer gets at most a quarter of a day's bound: whoever opens and stops again and again stops nobody else. */
const PAYER_SHARE = 4n

export interface Spent {
  readonly total: bigint
  readonly forPayer: bigint
}

/** Least deposit that is worth its gas, at least `minDeposit`; undefined: today nothing more is sent. */
export function leastRelayedDeposit(
  { relayWeiPerDay, coinPrice, gasPercent }: RelayPolicy,
  { gasPrice, spent, minDeposit }: { gasPrice: bigint; spent: bigint; minDeposit: bigint },
): bigint | undefined {
  const wei = RELAY_GAS * gasPrice
  if (spent + wei > relayWeiPerDay || wei > relayWeiPerDay / PAYER_SHARE) return undefined
  if (coinPrice === undefined) return minDeposit
  const cost = (wei * coinPrice + WEI_PER_COIN - 1n) / WEI_PER_COIN
  return larger(minDeposit, (cost * 100n + gasPercent - 1n) / gasPercent)
}

/** @throws TrustedPodsError CHANNEL_RELAY_REFUSED naming the bound. */
export function requireWithinBudget({ relayWeiPerDay }: RelayPolicy, spent: Spent, wei: bigint): void {
  if (spent.total + wei > relayWeiPerDay)
    refuse(`gas for others is used up for today: ${spent.total} of ${relayWeiPerDay} wei, this may cost ${wei}`)
  if (spent.forPayer + wei > relayWeiPerDay / PAYER_SHARE)
    refuse(`gas for this payer is used up for today: ${spent.forPayer} of ${relayWeiPerDay / PAYER_SHARE} wei`)
}

export function refuse(message: string): never {
  throw new TrustedPodsError('CHANNEL_RELAY_REFUSED', `${message}; the payer can send it itself`)
}
