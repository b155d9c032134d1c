/** Watches a pod through lost connections. Spec: spec/PROTOCOL.md#status. */
import type { Libp2p } from '@libp2p/interface'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { StatusRequestSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { StatusUpdateSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { requestStream } from '@trusted-pods/protocol/wire/exchange.ts'
import { STATUS } from '@trusted-pods/protocol/wire/protocols.ts'
import type { LocalAccount } from 'viem'
import { dial, type Peer } from './dial.ts'
import { giveVoucher, voucherFor } from './give-voucher.ts'
import type { LeaseFacts, ReceiptStore } from './lease.ts'
import { isFinal } from './pod-status.ts'
import { type ReceiptWatch, watchReceipts } from './receipt-watch.ts'
import { isLostConnection, RECONNECT_TRIES, waitBeforeTry } from './reconnect.ts'
import type { Relocate } from './relocate.ts'
import { type LeaseStatus, readStatuses } from './status-stream.ts'

export interface WatchOptions {
  /** Go on with each change until the pod has ended; otherwise one status is all. */
  follow?: boolean
  /** Signs the vouchers that the provider asks for, as far as verified receipts go; without it none is given. */
  voucherSigner?: LocalAccount
  /** Remembers the newest receipt between runs; without it a receipt that falls is seen within one run only. */
  receipts?: ReceiptStore
  /** How often a lost connection is made again before it is given up on; RECONNECT_TRIES unless given. */
  tries?: number
  /** Told when the way to the provider is lost, once until it is found again. */
  onLost?: (error: TrustedPodsError) => void
  /** Where the provider is now, when it does not answer where it was. */
  relocate?: Relocate
  signal?: AbortSignal
}

export interface ReadOptions extends Pick<WatchOptions, 'follow' | 'signal'> {
  /** Judges the receipts, over all connections to one pod. */
  watch?: ReceiptWatch
}

/** The pod's status, and with `follow` each that comes after, over as many connections as it takes.
 * @throws TrustedPodsError WIRE_… when the provider stays away, STATUS_UNKNOWN_POD with remote. */
export async function* watchStatus(
  node: Libp2p,
  lease: LeaseFacts,
  { follow = false, voucherSigner, receipts, tries = RECONNECT_TRIES, onLost, relocate, signal }: WatchOptions = {},
): AsyncGenerator<LeaseStatus> {
  const watch = watchReceipts(lease, receipts)
  for (let made = 1; ; made++) {
    try {
      await using peer = await dial(node, lease.provider, { ...(relocate && { relocate }), ...(signal && { signal }) })
      for await (const status of readStatus(peer, lease, { follow, watch, ...(signal && { signal }) })) {
        made = 1
        const sum = voucherSigner && voucherFor(lease, status)
        if (sum) await giveVoucher(peer.connection, lease, sum, { account: voucherSigner, ...(signal && { signal }) })
        yield status
        if (!follow || isFinal(status.phase)) return
      }
      throw new TrustedPodsError('WIRE_CLOSED', 'the provider ended the status stream of a pod that has not ended')
    } catch (error) {
      if (!isLostConnection(error) || made >= tries) throw error
      if (made === 1 && error instanceof TrustedPodsError) onLost?.(error)
    }
    await waitBeforeTry(made, signal ? { signal } : {})
  }
}

/** The statuses that one connection brings. */
export async function* readStatus(
  { connection }: Pick<Peer, 'connection'>,
  lease: LeaseFacts,
  { follow = false, watch = watchReceipts(lease), signal }: ReadOptions = {},
): AsyncGenerator<LeaseStatus> {
  const message = { podId: fromHex(lease.id) ?? new Uint8Array(), follow }
  const ask = { request: StatusRequestSchema, message, response: StatusUpdateSchema }
  yield* readStatuses(requestStream(connection, STATUS, ask, signal ? { signal } : {}), lease, watch)
}
