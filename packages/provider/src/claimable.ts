/** What a receipt could claim of a channel now. Spec: spec/PAYMENT.md#claims. */
import { smaller } from '@trusted-pods/protocol/bigints.ts'
import { capAt } from '@trusted-pods/protocol/channel/cap.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import type { Receipt } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { channelOf } from './channel-of.ts'
import type { Journal } from './journal.ts'
import type { Meter } from './meter.ts'
import type { PodRow } from './pod-row.ts'
import { quoteOf } from './quoted.ts'

export interface ClaimableParts {
  readonly journal: Journal
  readonly meter: Meter
}

/** Base units that receipts may have claimed in all: the cap at the pending block, and the deposit on the chain. */
export function claimLimit(row: PodRow, state: ChannelState, pendingSeconds: number): bigint {
  return smaller(capAt(channelOf(row).terms, state, pendingSeconds), state.deposited)
}

/** Base units that a receipt over all that is owed could claim, in all; 0 for a pod that never ran. */
export function claimable(row: PodRow, limit: bigint, { meter }: ClaimableParts): bigint {
  return meter.runningSeconds(row.podId) === 0n ? 0n : smaller(meter.owed(row, quoteOf(row)), limit)
}

/** That receipt; undefined for a pod that never ran. */
export async function claimReceipt(
  podId: string,
  limit: bigint,
  { journal, meter }: ClaimableParts,
): Promise<Receipt | undefined> {
  const row = journal.pod(podId)
  if (!row || meter.runningSeconds(podId) === 0n) return undefined
  return await meter.receipt(row, quoteOf(row), { atMost: limit })
}

/** As the chain has it now: a reorganisation can take back a claim or a top-up. */
export function remember(row: PodRow, { deposited, claimed }: ChannelState, { journal }: { journal: Journal }): void {
  if (row.deposited !== deposited || row.claimed !== claimed) journal.change(row.podId, { deposited, claimed })
}
