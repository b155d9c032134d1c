/**
 * How long each pod has run, and the receipts for it: reserved x time from RUNNING, by the boot clock, only what a heartbeat
 * has covered. A gap in which this process was down is not billed. Spec: spec/PAYMENT.md#metering.
 */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { smaller } from '@trusted-pods/protocol/bigints.ts'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { fromProtoChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { signReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import {
  type ExitState,
  PaymentChannelSchema,
  type Receipt,
  ReceiptSchema,
  type Usage,
  UsageSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { cost, counters } from '@trusted-pods/protocol/pricing/price.ts'
import type { OpenedQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import { EGRESS, INGRESS } from '@trusted-pods/protocol/pricing/resources.ts'
import type { LocalAccount } from 'viem'
import type { BootClock } from './boot-clock.ts'
import type { Journal } from './journal.ts'
import type { PodRow } from './pod-row.ts'

export interface MeterParts {
  journal: Journal
  clock: BootClock
  /** The attested key that signs receipts. */
  account: LocalAccount
}

/** Counts running pods and signs what they owe. */
export class Meter {
  readonly #parts: MeterParts
  /** Interval that each pod is counted in by this process. */
  readonly #open = new Map<string, number>()

  constructor(parts: MeterParts) {
    this.#parts = parts
  }

  /** Counts the pod as running from now on, in an interval of its own. */
  start(podId: string): void {
    if (this.#open.has(podId)) return
    this.#open.set(podId, this.#parts.journal.intervals(podId).length)
    this.beat(podId)
  }

  /** Makes the time up to now count. */
  beat(podId: string): void {
    const sequence = this.#open.get(podId)
    if (sequence === undefined) return
    const { journal, clock } = this.#parts
    const now = clock.nowMs()
    journal.putInterval(podId, sequence, { bootId: clock.bootId, fromMs: now, toMs: now })
  }

  /** Counts no further; the time since the last beat is nobody's. */
  pause(podId: string): void {
    this.#open.delete(podId)
  }

  /** Counts up to now and no further. */
  stop(podId: string): void {
    this.beat(podId)
    this.#open.delete(podId)
  }

  /** Whole seconds of running that are on record. */
  runningSeconds(podId: string): bigint {
    const ms = this.#parts.journal.intervals(podId).reduce((sum, { fromMs, toMs }) => sum + (toMs - fromMs), 0)
    return BigInt(Math.floor(ms / 1000))
  }

  /** A receipt for all so far, at most the deposit and `atMost`; stored before it is returned, the last one when nothing was added. */
  async receipt(row: PodRow, quote: OpenedQuote, { atMost, exit }: ReceiptOptions = {}): Promise<Receipt> {
    const { journal, account } = this.#parts
    const usage = this.#usageOf(row, quote, exit)
    const most = atMost !== undefined && atMost < row.deposited ? atMost : row.deposited
    const last = journal.lastReceipt(row.podId)
    const cumulative = smaller(priceOf(quote, usage), most)
    if (!exit && last && last.cumulative >= cumulative && last.cumulative <= most)
      return fromBinary(ReceiptSchema, last.receipt)
    const channel = fromProtoChannel(fromBinary(PaymentChannelSchema, row.channel))
    const receipt = await signReceipt(usage, { ...channel, account, table: quote.pricing, atMost: most })
    if (!last || cumulative > last.cumulative || (exit && cumulative === last.cumulative))
      journal.putReceipt(row.podId, cumulative, toBinary(ReceiptSchema, receipt))
    return receipt
  }

  /** What the pod would owe without regard to its deposit. */
  owed(row: PodRow, quote: OpenedQuote): bigint {
    return priceOf(quote, this.#usageOf(row, quote))
  }

  #usageOf(row: PodRow, quote: OpenedQuote, exit?: ExitState): Usage {
    const { egressBytes, ingressBytes } = this.#parts.journal.traffic.total(row.podId)
    const runningSeconds = this.runningSeconds(row.podId)
    const usage = [
      { name: EGRESS, selector: '', quantity: egressBytes },
      { name: INGRESS, selector: '', quantity: ingressBytes },
    ]
    return create(UsageSchema, {
      podId: fromHex(row.termsPodId) ?? new Uint8Array(),
      counters: counters(quote.resources, quote.pricing, runningSeconds, { usage }),
      runningSeconds,
      readAtMs: BigInt(Date.now()),
      ...(exit && { exit }),
    })
  }
}

export interface ReceiptOptions {
  /** Ask for no more: the cap at the pending block. */
  readonly atMost?: bigint
  /** How the pod ended: its last receipt says so. */
  readonly exit?: ExitState
}

function priceOf(quote: OpenedQuote, usage: Usage): bigint {
  return cost(quote.pricing, usage.counters)
}
