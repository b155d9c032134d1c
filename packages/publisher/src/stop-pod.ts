/** The provider's half of a stop: the pod ends, its last receipt is signed. Needs no chain. Spec: spec/PROTOCOL.md#stop. */
import type { Libp2p } from '@libp2p/interface'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  type Settlement,
  StopRequestSchema,
  type StopResponse,
  StopResponseSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { request } from '@trusted-pods/protocol/wire/exchange.ts'
import { STOP } from '@trusted-pods/protocol/wire/protocols.ts'
import { throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { dial } from './dial.ts'
import type { LeaseFacts, LeaseStore } from './lease.ts'
import { type ReceiptView, watchReceipts } from './receipt-watch.ts'
import { whileLost } from './reconnect.ts'
import type { Relocate } from './relocate.ts'

export interface StopPodOptions {
  node: Libp2p
  leases: LeaseStore
  /** Where the provider is now, when it does not answer where it was. */
  relocate?: Relocate
  signal?: AbortSignal
}

/** Three tries over some seconds: a provider that is gone must not keep the money waiting. */
const STOP_TRIES = 3

/**
 * Asks the provider to end the pod; what became of the channel only the chain can tell. Safe to repeat.
 * @throws TrustedPodsError WIRE_… when the provider stays away; with remote, its refusal.
 */
export async function stopPod(
  lease: LeaseFacts,
  { node, leases, relocate, ...options }: StopPodOptions,
): Promise<{ receipt: ReceiptView }> {
  const signal = options.signal ? { signal: options.signal } : {}
  const message = { podId: fromHex(lease.id) ?? new Uint8Array() }
  const ask = { request: StopRequestSchema, message, response: StopResponseSchema }
  const settlement = await whileLost(
    async () => {
      await using peer = await dial(node, lease.provider, { ...(relocate && { relocate }), ...signal })
      return requireSettlement(await request(peer.connection, STOP, ask, signal))
    },
    { tries: STOP_TRIES, ...signal },
  )
  return { receipt: await watchReceipts(lease, leases.receipts).view(settlement.receipt) }
}

function requireSettlement({ result }: StopResponse): Settlement {
  if (result.case === 'refusal') throwRefusal(result.value)
  if (result.case === 'settlement') return result.value
  throw new TrustedPodsError('WIRE_MALFORMED', 'the answer to a stop holds neither a settlement nor a refusal')
}
