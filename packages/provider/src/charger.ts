/**
 * Money of running pods: receipts, and what the chain says of each channel. A chain that cannot be asked changes nothing: no pod is
 * ended on missing knowledge. Spec: spec/PAYMENT.md#provider.
 */

import type { MessageInitShape } from '@bufbuild/protobuf'
import { smaller } from '@trusted-pods/protocol/bigints.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { readChannels } from '@trusted-pods/protocol/chain/escrow.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import { type Voucher, verifyVoucher } from '@trusted-pods/protocol/channel/voucher.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ExitState, FundsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import type { ChainLink } from './chain-link.ts'
import type { Changes } from './changes.ts'
import { channelOf } from './channel-of.ts'
import { type ChannelView, viewChannels } from './channel-view.ts'
import { claimLimit, remember } from './claimable.ts'
import { type ConfirmationPolicy, neededLevel } from './confirmation-policy.ts'
import { rebroadcast, wasReorganised } from './deposit-watch.ts'
import type { Journal } from './journal.ts'
import type { Meter } from './meter.ts'
import type { PodRow, Suspension } from './pod-row.ts'
import { quoteOf } from './quoted.ts'
import { isExposed } from './unlock-window.ts'

/** Between two looks for a deposit that is not deep enough yet. */
const CONFIRM_POLL_MS = 2_000

export interface ChargerParts extends ConfirmationPolicy {
  readonly journal: Journal
  readonly meter: Meter
  readonly link: ChainLink
  readonly changes: Changes
  readonly log: Logger
  /** How long a pod runs on once its deposit is used up. */
  readonly fundsGraceMs: number
  /** How long the data of a suspended pod is kept. */
  readonly keepDataMs: number
  /** How long a pod stays suspended whose deposit a reorganisation has removed, before it is ended. */
  readonly reorgPatienceMs: number
}

/** What the charger found that changes whether a pod runs. */
export type ChargeVerdict =
  | { readonly kind: 'go-on' }
  | { readonly kind: 'suspend'; readonly why: Suspension['why'] }
  | { readonly kind: 'resume' }
  | { readonly kind: 'end'; readonly code: string; readonly message: string }

const GO_ON: ChargeVerdict = { kind: 'go-on' }

export class Charger {
  readonly #parts: ChargerParts
  /** When the chain last answered, by `performance.now()`. */
  #seenAtMs = performance.now()
  /** Pods whose receipts are above their cap, as of the last look. */
  readonly #aboveCap = new Set<string>()

  constructor(parts: ChargerParts) {
    this.#parts = parts
  }

  /** Counts the pod's time and signs a receipt for it. */
  async tick(podId: string): Promise<void> {
    const { journal, meter, changes } = this.#parts
    const row = journal.pod(podId)
    if (row?.phase !== 'running') return
    meter.beat(podId)
    await meter.receipt(row, quoteOf(row))
    changes.notify(podId)
  }

  /** All channels at one look; undefined: the chain cannot be asked. */
  async look(podIds: readonly string[]): Promise<ChannelView | undefined> {
    try {
      if (podIds.length === 0) return undefined
      const view = await viewChannels(this.#parts.link.require(), podIds)
      this.#seenAtMs = performance.now()
      return view
    } catch (error) {
      this.#parts.log.warn('channels not visible', { pods: podIds.length, reason: String(error) })
      this.#warnOfExposure(podIds)
      return undefined
    }
  }

  /** Nothing can be claimed on a chain that cannot be asked: whoever runs this provider has to find another endpoint in time. */
  #warnOfExposure(podIds: readonly string[]): void {
    const { journal, log } = this.#parts
    const unseenSeconds = Math.floor((performance.now() - this.#seenAtMs) / 1000)
    const rows = podIds.map((podId) => journal.pod(podId)).filter((row) => row !== undefined)
    const exposed = rows.filter((row) => isExposed(channelOf(row).terms, unseenSeconds))
    if (exposed.length === 0) return
    const unclaimed = exposed.reduce((sum, row) => sum + this.#unclaimed(row), 0n)
    log.error('the chain was not seen for so long that payers may be refunded before a claim', {
      pods: exposed.length,
      unseenSeconds,
      unclaimed: unclaimed.toString(),
    })
  }

  #unclaimed(row: PodRow): bigint {
    return smaller(this.#parts.meter.owed(row, quoteOf(row)), row.deposited) - row.claimed
  }

  /** Whether the pod may go on. */
  async review(podId: string, seen?: ChannelView): Promise<ChargeVerdict> {
    const view = seen ?? (await this.look([podId]))
    const row = this.#parts.journal.pod(podId)
    if (!row || !view || row.phase === 'stopping' || row.endedAtMs !== undefined) return GO_ON
    const state = view.states.get(podId)
    if (!state) return await this.#judgeMissing(row, view.chain)
    remember(row, state, this.#parts)
    if (state.closed) return { kind: 'end', code: 'channel-closed', message: 'the payment channel is closed' }
    this.#noteCap(row, state, view)
    if (state.closeAt !== 0)
      return { kind: 'end', code: 'close-requested', message: 'the payer asked to close the channel' }
    return this.#judgeFunds(podId)
  }

  /**
   * Just before a pod starts: returns once its deposit is as deep in the chain as its rate asks for. Where one block is enough, a
   * chain that cannot be asked is no obstacle: it was asked at admission.
   * @throws TrustedPodsError CHANNEL_CLOSING; the signal's reason.
   */
  async requireOpen(podId: string, signal: AbortSignal): Promise<void> {
    const row = this.#parts.journal.pod(podId)
    if (!row) return
    const level = neededLevel(channelOf(row).terms, this.#parts)
    for (;;) {
      const states = await this.#statesAt(row, level)
      const state = states?.get(`0x${podId}`)
      if (state && (state.closed || state.closeAt !== 0)) throw closing()
      if (state || level === 'latest') return
      await pause(CONFIRM_POLL_MS, signal)
      signal.throwIfAborted()
    }
  }

  /** The last receipt of a pod whose time has ended: says how it ended. */
  async finalReceipt(podId: string, exit: ExitState): Promise<void> {
    const { journal, meter } = this.#parts
    const row = journal.pod(podId)
    if (row && meter.runningSeconds(podId) > 0n) await meter.receipt(row, quoteOf(row), { exit })
  }

  /** How long the deposit lasts, for the publisher. */
  funds(row: PodRow): MessageInitShape<typeof FundsSchema> {
    const { meter, fundsGraceMs, keepDataMs } = this.#parts
    const { shortOfFundsAtMs: shortAt, suspension, deposited } = row
    const isSuspended = suspension?.why === 'funds-exhausted'
    return {
      deposited: deposited.toString(),
      owed: meter.owed(row, quoteOf(row)).toString(),
      suspendedAtMs: BigInt(isSuspended ? suspension.sinceMs : shortAt === undefined ? 0 : shortAt + fundsGraceMs),
      deletedAtMs: BigInt(isSuspended ? suspension.sinceMs + keepDataMs : 0),
      voucherWanted: this.#voucherWanted(row)?.toString() ?? '',
    }
  }

  /**
   * Keeps the payer's voucher, when it is one and allows more than the one before.
   * @throws TrustedPodsError CHANNEL_SIGNATURE; CHANNEL_BAD_AMOUNT above what is owed, which nobody asked for.
   */
  async keepVoucher(podId: string, voucher: Voucher): Promise<void> {
    const { journal, meter } = this.#parts
    const row = journal.pod(podId)
    if (!row) return
    const owed = meter.owed(row, quoteOf(row))
    if (voucher.cumulative > owed)
      throw new TrustedPodsError('CHANNEL_BAD_AMOUNT', `the voucher is for ${voucher.cumulative}, owed are ${owed}`)
    const channel = channelOf(row)
    await verifyVoucher(voucher, channel)
    if (!row.voucher || voucher.cumulative > row.voucher.cumulative) journal.change(podId, { voucher })
  }

  /** A voucher up to this sum would be redeemed; undefined: time alone allows what is owed. */
  #voucherWanted(row: PodRow): bigint | undefined {
    const receipt = this.#parts.journal.lastReceipt(row.podId)
    if (!receipt || !this.#aboveCap.has(row.podId) || receipt.cumulative <= row.claimed) return undefined
    return row.voucher && row.voucher.cumulative >= receipt.cumulative ? undefined : receipt.cumulative
  }

  async #statesAt(row: PodRow, blockTag: 'latest' | 'safe' | 'finalized') {
    const { link, log } = this.#parts
    try {
      return await readChannels(link.require(), [`0x${row.podId}`], { blockTag })
    } catch (error) {
      log.warn('channel not visible', { pod: row.podId, reason: String(error) })
      return undefined
    }
  }

  #noteCap(row: PodRow, state: ChannelState, { pendingSeconds }: ChannelView): void {
    const owed = smaller(this.#parts.meter.owed(row, quoteOf(row)), state.deposited)
    if (owed > claimLimit(row, state, pendingSeconds)) this.#aboveCap.add(row.podId)
    else this.#aboveCap.delete(row.podId)
  }

  /** The chain shows no channel where there was one. */
  async #judgeMissing(row: PodRow, chain: Chain): Promise<ChargeVerdict> {
    const { log, reorgPatienceMs } = this.#parts
    const { podId, opening, phase, suspension } = row
    if (!opening || !(await wasReorganised(chain, opening))) {
      log.warn('the chain does not show the channel: its node lags', { pod: podId })
      return GO_ON
    }
    log.warn('a reorganisation has removed the deposit: its opening is sent again', { pod: podId })
    await rebroadcast(chain, opening)
    if (phase === 'running') return { kind: 'suspend', why: 'deposit-missing' }
    if (suspension?.why !== 'deposit-missing' || Date.now() - suspension.sinceMs < reorgPatienceMs) return GO_ON
    return { kind: 'end', code: 'deposit-missing', message: 'a reorganisation of the chain removed the deposit' }
  }

  /** Used up: after the grace the pod is suspended, and its data kept for as long as is promised. */
  #judgeFunds(podId: string): ChargeVerdict {
    const { journal, meter, changes, fundsGraceMs, keepDataMs } = this.#parts
    const row = journal.pod(podId)
    if (!row || (row.phase !== 'running' && row.phase !== 'suspended')) return GO_ON
    if (meter.owed(row, quoteOf(row)) < row.deposited) {
      if (row.shortOfFundsAtMs !== undefined) journal.change(podId, { shortOfFundsAtMs: null })
      return row.phase === 'suspended' ? { kind: 'resume' } : GO_ON
    }
    const since = row.shortOfFundsAtMs ?? Date.now()
    if (row.shortOfFundsAtMs === undefined) {
      journal.change(podId, { shortOfFundsAtMs: since })
      changes.notify(podId)
    }
    if (row.phase === 'running')
      return Date.now() - since < fundsGraceMs ? GO_ON : { kind: 'suspend', why: 'funds-exhausted' }
    if (!row.suspension || Date.now() - row.suspension.sinceMs < keepDataMs) return GO_ON
    return { kind: 'end', code: 'funds-exhausted', message: `the deposit of ${row.deposited} base units is used up` }
  }
}

function closing(): TrustedPodsError {
  return new TrustedPodsError(
    'CHANNEL_CLOSING',
    'the channel was closed, or a close was requested, before the pod started',
  )
}
