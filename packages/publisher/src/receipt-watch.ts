/**
 * Judges the receipts of one lease in the order in which they come: each by itself, and none below one that was signed before.
 * Spec: spec/PAYMENT.md#receipt.
 */
import { type VerifiedReceipt, verifyReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Receipt } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { LeaseFacts, ReceiptStore } from './lease.ts'

/** What the newest receipt of a lease says, once we have checked it. */
export type ReceiptView =
  | { readonly kind: 'none' }
  | { readonly kind: 'verified'; readonly owed: bigint; readonly runningSeconds: bigint; readonly receipt: Receipt }
  /** The provider sent a receipt that does not hold: stop the pod. */
  | { readonly kind: 'invalid'; readonly reason: string }

export interface ReceiptWatch {
  /** The receipt as we judge it; one that holds is kept, and what comes later is held against it. */
  view(receipt: Receipt | undefined): Promise<ReceiptView>
}

/** 60 s: clocks of publisher and chain differ, and the pod can have been accepted before we wrote the time down. */
const CLOCK_TOLERANCE_SECONDS = 60

/** One for all connections of a run. @param receipts remembers between runs. */
export function watchReceipts(lease: LeaseFacts, receipts?: ReceiptStore): ReceiptWatch {
  let known: Promise<VerifiedReceipt | undefined> | undefined
  return {
    async view(receipt) {
      if (!receipt) return { kind: 'none' }
      known ??= loadKnown(lease, receipts)
      const previous = await known
      const verified = await verify(receipt, lease, previous)
      if (verified instanceof TrustedPodsError) return { kind: 'invalid', reason: boundText(verified.message) }
      known = Promise.resolve(verified)
      if (isNewer(verified, previous)) await receipts?.save(lease.id, receipt)
      return { kind: 'verified', owed: verified.cumulative, runningSeconds: verified.usage.runningSeconds, receipt }
    },
  }
}

/** Held against the channel, the prices agreed on, the time that has passed, and the receipt before; or why it does not hold. */
async function verify(
  receipt: Receipt,
  lease: LeaseFacts,
  previous: VerifiedReceipt | undefined,
): Promise<VerifiedReceipt | TrustedPodsError> {
  const seconds = Math.ceil((Date.now() - lease.createdAt.getTime()) / 1000) + CLOCK_TOLERANCE_SECONDS
  const maxRunningSeconds = BigInt(Math.max(0, seconds))
  try {
    return await verifyReceipt(receipt, { ...agreement(lease), maxRunningSeconds, ...(previous && { previous }) })
  } catch (error) {
    if (error instanceof TrustedPodsError) return error
    throw error
  }
}

async function loadKnown(lease: LeaseFacts, receipts?: ReceiptStore): Promise<VerifiedReceipt | undefined> {
  const receipt = await receipts?.load(lease.id)
  if (!receipt) return undefined
  try {
    return await verifyReceipt(receipt, agreement(lease))
  } catch (error) {
    // What was damaged on our disk proves nothing against the provider; the next receipt takes its place.
    if (error instanceof TrustedPodsError) return undefined
    throw error
  }
}

function agreement({ channel: { chainId, escrow, terms }, pricing, resources }: LeaseFacts) {
  return { chainId, escrow, terms, table: pricing, resources }
}

function isNewer(receipt: VerifiedReceipt, before: VerifiedReceipt | undefined): boolean {
  if (!before) return true
  if (receipt.usage.exit && !before.usage.exit) return true
  return receipt.cumulative > before.cumulative || receipt.usage.runningSeconds > before.usage.runningSeconds
}
