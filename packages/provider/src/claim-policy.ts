/** Which claims are worth their gas, alone or side by side in one transaction. Spec: spec/PAYMENT.md#claims. Pure. */
import { MAX_BATCH } from '@trusted-pods/protocol/chain/claim-batch.ts'

export interface ClaimPolicy {
  /** Least base units worth a claim of their own. */
  readonly claimAtLeast: bigint
  /** Base units of the token for 10^18 wei of the chain's coin; without it gas is not held against what is owed. */
  readonly coinPrice?: bigint
  /** Most of a claim that its gas may cost, in hundredths. */
  readonly gasPercent: bigint
  /** After so long without a claim less is enough. */
  readonly claimEverySeconds: number
}

export interface ClaimSituation {
  /** Base units that a claim would bring. */
  readonly unclaimed: bigint
  /** When a requested close may be carried out, Unix seconds; 0: none was requested. */
  readonly closeAt: number
  /** Seconds between a request to close and the refund. */
  readonly unlockDelay: number
  readonly secondsSinceClaim: number
}

/** Measured (contracts:gas): 75,000 for a first claim alone, at most 25,000 for each further one of a batch. */
const BATCH_GAS = 47_000n
const ITEM_GAS = 28_000n
const WEI_PER_COIN = 10n ** 18n
/** A claim that was put off for long has to bring twice its gas. */
const OVERDUE_SHARE = 2n
/** What will be due soon goes along where a transaction is made anyhow: alone it would cost twice. */
const ALONG_SHARE = 2n

/** Claims to make now, in transactions of at most `MAX_BATCH`: those that close first go first, then those that bring most. */
export function chooseClaims<Claim extends ClaimSituation>(
  policy: ClaimPolicy,
  claims: readonly Claim[],
  gasPrice: bigint,
): Claim[][] {
  const price = (gas: bigint) =>
    policy.coinPrice === undefined ? 0n : (gas * gasPrice * policy.coinPrice) / WEI_PER_COIN
  const worth = claims.flatMap((claim) => {
    const allowance = gasAllowance(policy, claim)
    return allowance !== undefined && allowance >= price(ITEM_GAS) ? [{ claim, allowance }] : []
  })
  worth.sort((a, b) => byUrgency(a.claim, b.claim))
  const batches: Claim[][] = []
  for (let at = 0; at < worth.length; at += MAX_BATCH) {
    const batch = worth.slice(at, at + MAX_BATCH)
    const due = batch.filter(({ claim }) => !isEarly(policy, claim))
    const spare =
      due.reduce((sum, { allowance }) => sum + allowance, 0n) - price(BATCH_GAS + ITEM_GAS * BigInt(due.length))
    if (due.length > 0 && spare >= 0n) batches.push(batch.map(({ claim }) => claim))
  }
  return batches
}

/** Base units that gas may take of it; undefined: it waits. Of a channel that closes all but nothing, for there is no later. */
function gasAllowance({ claimAtLeast, gasPercent, ...policy }: ClaimPolicy, claim: ClaimSituation): bigint | undefined {
  const { unclaimed, closeAt } = claim
  if (unclaimed <= 0n) return undefined
  if (closeAt !== 0) return unclaimed - 1n
  if (isOverdue(policy, claim)) return unclaimed / OVERDUE_SHARE
  return unclaimed * ALONG_SHARE >= claimAtLeast ? (unclaimed * gasPercent) / 100n : undefined
}

/** Goes along, but is no reason for a transaction. */
function isEarly(policy: ClaimPolicy, claim: ClaimSituation): boolean {
  return claim.closeAt === 0 && claim.unclaimed < policy.claimAtLeast && !isOverdue(policy, claim)
}

/** Twice within the time in which a payer could be refunded behind our back: who is away for longer loses no more than that. */
function isOverdue(
  { claimEverySeconds }: Pick<ClaimPolicy, 'claimEverySeconds'>,
  { unlockDelay, secondsSinceClaim }: ClaimSituation,
): boolean {
  return secondsSinceClaim >= Math.min(claimEverySeconds, unlockDelay / 2)
}

function byUrgency(a: ClaimSituation, b: ClaimSituation): number {
  const closesAt = ({ closeAt }: ClaimSituation) => (closeAt === 0 ? Number.POSITIVE_INFINITY : closeAt)
  if (closesAt(a) !== closesAt(b)) return closesAt(a) - closesAt(b)
  return a.unclaimed === b.unclaimed ? 0 : a.unclaimed > b.unclaimed ? -1 : 1
}
