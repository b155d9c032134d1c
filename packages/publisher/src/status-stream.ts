/** What every stream of status messages must keep to, whichever protocol carries it. Spec: spec/PROTOCOL.md#status. */
import { equalBytes, fromHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { StatusUpdate } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import type { Refusal } from '@trusted-pods/protocol/gen/trustedpods/v0/refusal_pb.ts'
import { throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { type FundsView, fundsOf } from './funds.ts'
import type { LeaseFacts } from './lease.ts'
import { type PodStatus, toPodStatus } from './pod-status.ts'
import type { ReceiptView, ReceiptWatch } from './receipt-watch.ts'

export interface LeaseStatus extends PodStatus {
  readonly receipt: ReceiptView
  readonly funds: FundsView
}

/** Each message as a status, in order and about this pod.
 * @throws TrustedPodsError with remote: the request was refused; WIRE_MALFORMED when numbers do not count from 1 or another pod is
 * named. */
export async function* readStatuses(
  updates: AsyncIterable<StatusUpdate>,
  lease: LeaseFacts,
  receipts: ReceiptWatch,
): AsyncGenerator<LeaseStatus> {
  let wanted = 1n
  for await (const update of updates) {
    if (isRefusal(update)) throwRefusal(update.refusal)
    checkUpdate(update, lease, wanted++)
    const receipt = await receipts.view(update.receipt)
    yield { ...toPodStatus(update), receipt, funds: fundsOf(lease, receipt, update.funds) }
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
