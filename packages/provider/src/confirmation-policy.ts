/** How deep in the chain a deposit must be before its pod starts: by what a removed deposit would cost. Spec: spec/PAYMENT.md#confirmations. Pure. */
import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'

export interface ConfirmationPolicy {
  /** How long the chain takes until a block can no longer be removed. */
  readonly finalitySeconds: number
  /** Base units of running time that may be lost to a reorganisation. */
  readonly riskTolerance: bigint
}

/** A tag that every node knows: the newest block, one that honest nodes agree on, one that is there for ever. */
export type ConfirmationLevel = 'latest' | 'safe' | 'finalized'

const SECONDS_PER_HOUR = 3600n
/** Above this many times the tolerance agreement among nodes is not enough. */
const FINALIZED_FROM = 100n

export function neededLevel(
  { ratePerHour }: Pick<ChannelTerms, 'ratePerHour'>,
  { finalitySeconds, riskTolerance }: ConfirmationPolicy,
): ConfirmationLevel {
  const atRisk = (ratePerHour * BigInt(finalitySeconds)) / SECONDS_PER_HOUR
  if (atRisk <= riskTolerance) return 'latest'
  return atRisk <= riskTolerance * FINALIZED_FROM ? 'safe' : 'finalized'
}
