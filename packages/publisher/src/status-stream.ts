/** What every stream of status messages must keep to, whichever protocol carries it. Spec: spec/PROTOCOL.md#status. */
import { equalBytes, fromHex } from '@trusted-pods/protocol/bytes.ts'
import { verifyReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Receipt } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { StatusUpdate } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import type { Refusal } from '@trusted-pods/protocol/gen/trustedpods/v0/refusal_pb.ts'
import { throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import type { LeaseFacts } from './lease.ts'
import { type PodStatus, toPodStatus } from './pod-status.ts'

/** What the newest receipt of a lease says, once we have checked it. */
export type ReceiptView =
  | { readonly kind: 'none' }
  | { readonly kind: 'verified'; readonly owed: bigint; readonly runningSeconds: bigint; readonly receipt: Receipt }
  /** The provider sent a receipt that does not hold: stop the pod. */
  | { readonly kind: 'invalid'; readonly reason: string }

export interface LeaseStatus extends PodStatus {
  readonly receipt: ReceiptView
}

/** 60 s: clocks of publisher and chain differ, and the pod can have been accepted before we wrote the time down. */
const CLOCK_TOLERANCE_SECONDS = 60

/** Each message as a status, in order and about this pod.
 * @throws TrustedPodsError with remote: the request was refused; WIRE_MALFORMED when numbers do not count from 1 or another pod is
 * named. */
export async function* readStatuses(
  updates: AsyncIterable<StatusUpdate>,
  lease: LeaseFacts,
): AsyncGenerator<LeaseStatus> {
  let wanted = 1n
  for await (const update of updates) {
    if (isRefusal(update)) throwRefusal(update.refusal)
    checkUpdate(update, lease, wanted++)
    yield { ...toPodStatus(update), receipt: await viewReceipt(update.receipt, lease) }
  }
}

/** A refusal of the request itself is no status of the pod: it names none and has no number. */
function isRefusal(update: StatusUpdate): update is StatusUpdate & { refusal: Refusal } {
  return update.refusal !== undefined && (update.sequence === 0n || update.podId.length === 0)
}

function checkUpdate({ sequence, podId }: StatusUpdate, { id }: LeaseFacts, wanted: bigint): void {
  if (sequence !== wanted) {
    throw new TrustedPodsError('WIRE_MALFORMED', `status number ${sequence} came, ${wanted} was next`)
  }
  if (!equalBytes(podId, fromHex(id) ?? new Uint8Array())) {
    throw new TrustedPodsError('WIRE_MALFORMED', 'a status is about another pod')
  }
}

/** A receipt held against the channel, the prices agreed on and the time that has passed. */
export async function viewReceipt(receipt: Receipt | undefined, lease: LeaseFacts): Promise<ReceiptView> {
  if (!receipt) return { kind: 'none' }
  const { chainId, escrow, terms } = lease.channel
  const seconds = Math.ceil((Date.now() - lease.createdAt.getTime()) / 1000) + CLOCK_TOLERANCE_SECONDS
  try {
    const { cumulative, usage } = await verifyReceipt(receipt, {
      chainId,
      escrow,
      terms,
      table: lease.pricing,
      resources: lease.resources,
      maxRunningSeconds: BigInt(Math.max(0, seconds)),
    })
    return { kind: 'verified', owed: cumulative, runningSeconds: usage.runningSeconds, receipt }
  } catch (error) {
    if (!(error instanceof TrustedPodsError)) throw error
    return { kind: 'invalid', reason: error.message }
  }
}
