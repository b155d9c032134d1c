/** What receipts may claim in all by now: the contract's own arithmetic. Spec: spec/PAYMENT.md#cap. Pure. */
import type { ChannelState } from './check-channel.ts'
import type { ChannelTerms } from './terms.ts'

const SECONDS_PER_HOUR = 3600n

/** @param atSeconds Unix seconds of the block that a claim would be in. */
export function capAt(
  { ratePerHour }: Pick<ChannelTerms, 'ratePerHour'>,
  { openedAt, accrualEnd }: Pick<ChannelState, 'openedAt' | 'accrualEnd'>,
  atSeconds: number,
): bigint {
  const end = accrualEnd === 0 || accrualEnd > atSeconds ? atSeconds : accrualEnd
  return end <= openedAt ? 0n : (ratePerHour * BigInt(end - openedAt)) / SECONDS_PER_HOUR
}
