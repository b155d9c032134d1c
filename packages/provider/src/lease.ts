/** /trusted-pods/status, logs, stop, voucher and fund: the life of a pod, for the publisher that provisioned it and nobody else. Spec: spec/PROTOCOL.md#lease. */
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { fromHex, toHex } from '@trusted-pods/protocol/bytes.ts'
import { fromProtoFunding } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  type FundRequest,
  type LogMessageSchema,
  type LogsRequest,
  type Settlement,
  SettlementSchema,
  type StatusRequest,
  type StopRequest,
  type VoucherRequest,
} from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { ReceiptSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { StatusUpdateSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import type { Caller } from '@trusted-pods/protocol/wire/serve.ts'
import { channelOf } from './channel-of.ts'
import type { Charger } from './charger.ts'
import type { PodKeeper } from './pod-keeper.ts'
import { LIVE_PHASES, type PodRow } from './pod-row.ts'
import { followStatus, type StatusParts } from './pod-status.ts'
import type { Relay } from './relay.ts'
import { refuse } from './relay-policy.ts'

/** Longest piece of one log line in a message. */
const LINE_BYTES = 16 * 1024
/** Below 2^128: what the contract counts in. */
const DIGITS = /^(0|[1-9][0-9]{0,37})$/

export interface LeaseParts {
  readonly keeper: PodKeeper
  readonly charger: Pick<Charger, 'keepVoucher'>
  readonly relay: Pick<Relay, 'send' | 'leastDeposit'>
  readonly status: StatusParts
}

export async function* answerStatus(
  { podId, follow }: StatusRequest,
  caller: Caller,
  { status }: LeaseParts,
): AsyncGenerator<MessageInitShape<typeof StatusUpdateSchema>> {
  const row = requireOwn(podId, caller, status)
  yield* followStatus(row.podId, status, { signal: caller.signal, isLast: () => !follow })
}

export async function* answerLogs(
  { podId, container, follow, tail }: LogsRequest,
  caller: Caller,
  { status }: LeaseParts,
): AsyncGenerator<MessageInitShape<typeof LogMessageSchema>> {
  const row = requireOwn(podId, caller, status)
  requireContainer(row, container)
  const { signal } = caller
  const options = { follow, signal, ...(container && { container }), ...(tail > 0 && { tail }) }
  for await (const line of status.runtime.logs(row.podId, options)) {
    const text = line.text.length > LINE_BYTES ? line.text.subarray(0, LINE_BYTES) : line.text
    yield {
      result: { case: 'line', value: { container: line.container, timeNs: line.timeNs, stderr: line.stderr, text } },
    }
  }
}

export async function answerStop(
  { podId }: StopRequest,
  caller: Caller,
  { keeper, status }: LeaseParts,
): Promise<Settlement> {
  const row = requireOwn(podId, caller, status)
  await keeper.end(row.podId, { code: 'stopped-by-publisher', message: 'stopped by its publisher' })
  const receipt = status.journal.lastReceipt(row.podId)
  const settlement = status.journal.pod(row.podId)?.settlement
  return create(SettlementSchema, {
    ...(receipt && { receipt: fromBinary(ReceiptSchema, receipt.receipt) }),
    transaction: (settlement && fromHex(settlement)) || new Uint8Array(),
  })
}

/** @throws TrustedPodsError CHANNEL_BAD_AMOUNT, CHANNEL_SIGNATURE. */
export async function answerVoucher(
  { podId, cumulative, signature }: VoucherRequest,
  caller: Caller,
  { charger, status }: LeaseParts,
): Promise<void> {
  const row = requireOwn(podId, caller, status)
  if (!DIGITS.test(cumulative))
    throw new TrustedPodsError('CHANNEL_BAD_AMOUNT', `${JSON.stringify(cumulative.slice(0, 40))} is no sum`)
  await charger.keepVoucher(row.podId, { cumulative: BigInt(cumulative), signature })
}

/**
 * The transaction of a top-up that the payer has signed; empty where somebody else has sent the same.
 * @throws TrustedPodsError STATUS_NOT_RUNNING, CHANNEL_RELAY_REFUSED and as `Relay.send`.
 */
export async function answerFund(
  { podId, funding }: FundRequest,
  caller: Caller,
  { relay, status }: LeaseParts,
): Promise<Uint8Array> {
  const row = requireOwn(podId, caller, status)
  if (row.phase === 'stopping' || !LIVE_PHASES.some((phase) => phase === row.phase))
    throw new TrustedPodsError('STATUS_NOT_RUNNING', `the pod is ${row.phase}: it takes no more funds`)
  if (!funding) throw new TrustedPodsError('CHANNEL_BAD_AMOUNT', 'the request brings no authorization')
  const authorization = fromProtoFunding(funding)
  const least = await relay.leastDeposit(1n)
  if (least === undefined) refuse('no deposits are sent for others now')
  if (authorization.amount < least) refuse(`the top-up is ${authorization.amount}, at least ${least} is sent`)
  const { transaction } = await relay.send(channelOf(row).terms, authorization, 'top-up')
  return (transaction && fromHex(transaction)) || new Uint8Array()
}

/** A stranger learns no more of a pod that exists than of one that does not. */
function requireOwn(podId: Uint8Array, { connection }: Caller, { journal }: StatusParts): PodRow {
  const id = toHex(podId.slice(0, 32))
  const row = journal.byTermsPodId(connection.remotePeer.toString(), id)
  if (row) return row
  throw new TrustedPodsError('STATUS_UNKNOWN_POD', `no pod ${id} of this publisher is known here`)
}

function requireContainer(row: PodRow, name: string): void {
  if (row.phase !== 'running' || !row.pod)
    throw new TrustedPodsError('STATUS_NOT_RUNNING', `the pod is ${row.phase}: there are no logs`)
  const names = fromBinary(PodSchema, row.pod).containers.map((container) => container.name)
  if (name !== '' && !names.includes(name)) {
    throw new TrustedPodsError(
      'STATUS_UNKNOWN_CONTAINER',
      `the pod has no container of this name; it has ${names.join(', ')}`,
    )
  }
}
