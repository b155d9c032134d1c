/** When a claim is worth its transaction. Spec: spec/PAYMENT.md#claims. Pure. */

export interface ClaimPolicy {
  /** Least base units worth a transaction of their own. */
  readonly claimAtLeast: bigint
  /** Base units of the token for 10^18 wei of the chain's coin; without it gas is not held against what is owed. */
  readonly coinPrice?: bigint
  /** Most of a claim that its gas may cost, in hundredths. */
  readonly gasPercent: bigint
}

export interface ClaimSituation {
  /** Base units that a claim would bring. */
  readonly unclaimed: bigint
  /** What one unit of gas costs now, wei. */
  readonly gasPrice: bigint
  /** A close was requested: what is not claimed by its end is lost. */
  readonly closing: boolean
}

/** Measured: 53,000 for a claim of a channel that was claimed from before; the first one writes more. */
const CLAIM_GAS = 75_000n
const WEI_PER_COIN = 10n ** 18n

/** Of a channel that closes everything is claimed that is not eaten up by its gas: there is no later. */
export function isWorthClaiming(
  { claimAtLeast, coinPrice, gasPercent }: ClaimPolicy,
  { unclaimed, gasPrice, closing }: ClaimSituation,
): boolean {
  if (unclaimed <= 0n) return false
  const gas = coinPrice === undefined ? 0n : (CLAIM_GAS * gasPrice * coinPrice) / WEI_PER_COIN
  if (closing) return unclaimed > gas
  return unclaimed >= claimAtLeast && gas * 100n <= unclaimed * gasPercent
}
