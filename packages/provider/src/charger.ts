/**
 * Money of running and ended pods: receipts, claims, what the chain says of each channel, the settlement. A chain that cannot
 * be asked changes nothing: no pod is ended on missing knowledge. Spec: spec/PAYMENT.md#provider.
 */

import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { larger, smaller } from '@trusted-pods/protocol/bigints.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { claim, credit, readChannels, redeem, settleClose, withdraw } from '@trusted-pods/protocol/chain/escrow.ts'
import { capAt } from '@trusted-pods/protocol/channel/cap.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import { fromProtoChannel, type OpenedChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { type Voucher, verifyVoucher } from '@trusted-pods/protocol/channel/voucher.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  type ExitState,
  type FundsSchema,
  PaymentChannelSchema,
  type Receipt,
} from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import type { ChainLink } from './chain-link.ts'
import type { Changes } from './changes.ts'
import { type ChannelView, viewChannels } from './channel-view.ts'
import { type ClaimPolicy, isWorthClaiming } from './claim-policy.ts'
import { type ConfirmationPolicy, neededLevel } from './confirmation-policy.ts'
import { rebroadcast, wasReorganised } from './deposit-watch.ts'
import type { Journal } from './journal.ts'
import type { Meter } from './meter.ts'
import type { PodRow, Suspension } from './pod-row.ts'
import { quoteOf } from './quoted.ts'

/** Settlement of a channel that somebody else closed: there is no transaction of ours. */
const CLOSED_ELSEWHERE = '0x'
/** A reorganisation that removes a block this deep is none that any chain of ours has seen; the settlement is then for good. */
const FINAL_DEPTH = 64n
/** Between two looks for a deposit that is not deep enough yet. */
const CONFIRM_POLL_MS = 2_000

export interface ChargerParts extends ClaimPolicy, ConfirmationPolicy {
  readonly journal: Journal
  readonly meter: Meter
  readonly link: ChainLink
  readonly changes: Changes
  readonly log: Logger
  /** Its channel was opened at our cost: its payer may have no gas to fetch the refund. */
  isRelayed?(podId: string): boolean
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
  /** One money action per channel at a time. */
  readonly #busy = new Map<string, Promise<unknown>>()
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
      return podIds.length === 0 ? undefined : await viewChannels(this.#parts.link.require(), podIds)
    } catch (error) {
      this.#parts.log.warn('channels not visible', { pods: podIds.length, reason: String(error) })
      return undefined
    }
  }

  /** Claims when it is worth it, and says whether the pod may go on; a claim that fails changes neither. */
  async review(podId: string, seen?: ChannelView): Promise<ChargeVerdict> {
    return this.#alone(podId, async () => {
      const view = seen ?? (await this.look([podId]))
      const row = this.#parts.journal.pod(podId)
      if (!row || !view || row.phase === 'stopping') return GO_ON
      const state = view.states.get(podId)
      if (!state) return this.#judgeMissing(row, view.chain)
      this.#remember(row, state)
      if (state.closed) return { kind: 'end', code: 'channel-closed', message: 'the payment channel is closed' }
      await this.#tryClaim(podId, state, view)
      if (state.closeAt !== 0)
        return { kind: 'end', code: 'close-requested', message: 'the payer asked to close the channel' }
      return this.#judgeFunds(podId)
    })
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

  /** Claims the rest of an ended pod, lets its channel go and takes the earnings out; tried again by the caller until it holds. */
  async settle(podId: string): Promise<void> {
    await this.#alone(podId, async () => {
      try {
        await this.#settle(podId)
      } catch (error) {
        this.#parts.log.warn('channel not settled yet', { pod: podId, reason: String(error) })
      }
    })
  }

  /** Whether settlements still hold: one that a reorganisation has taken back is to be made again. */
  async checkSettled(rows: readonly PodRow[]): Promise<void> {
    const { journal, link, log } = this.#parts
    const view = await this.look(rows.map(({ podId }) => podId))
    if (!view) return
    const height = await link.require().public.getBlockNumber()
    for (const { podId, settledBlock = height } of rows) {
      const state = view.states.get(podId)
      if (state && !state.closed) {
        log.warn('a settlement is gone from the chain: it is made again', { pod: podId })
        journal.change(podId, { settlement: null })
      } else if (state && height - settledBlock >= FINAL_DEPTH) journal.change(podId, { settledForGood: true })
    }
  }

  async #settle(podId: string): Promise<void> {
    const { journal, link, log } = this.#parts
    const row = journal.pod(podId)
    if (!row || row.settlement) return
    const view = await viewChannels(link.require(), [podId])
    const { chain } = view
    const { terms } = channelOf(row)
    const state = view.states.get(podId)
    if (!state) return await this.#seekChannel(row, chain)
    const settledBlock = await chain.public.getBlockNumber()
    if (state.closed)
      return journal.change(podId, { settlement: CLOSED_ELSEWHERE, settledBlock, claimed: state.claimed })
    this.#remember(row, state)
    await this.#redeem(podId, state, view)
    const receipt = await this.#claimable(podId, state, view)
    const { transaction, blockNumber } = await settleClose(chain, terms, {
      payOut: this.#parts.isRelayed?.(podId) ?? false,
      ...(receipt && BigInt(receipt.cumulative) > state.claimed && { receipt }),
    })
    const claimed = receipt ? larger(BigInt(receipt.cumulative), state.claimed) : state.claimed
    journal.change(podId, { settlement: transaction, settledBlock: blockNumber, claimed })
    log.info('channel settled', { pod: podId, cumulative: claimed.toString(), transaction })
    await this.#takeEarnings(chain, terms)
  }

  /** A node that lags shows no channel: what is not seen is not settled. After a reorganisation the opening is sent again. */
  async #seekChannel({ opening }: PodRow, chain: Chain): Promise<never> {
    if (opening && (await wasReorganised(chain, opening))) await rebroadcast(chain, opening)
    throw new TrustedPodsError('CHANNEL_NOT_FOUND', 'the chain does not show the channel')
  }

  /** The earnings stay safe in the escrow's ledger when this fails; the next settlement takes them along. */
  async #takeEarnings(chain: Chain, { provider, token }: ChannelTerms): Promise<void> {
    try {
      if ((await credit(chain, { account: provider, token })) > 0n) await withdraw(chain, { token })
    } catch (error) {
      this.#parts.log.warn('earnings not withdrawn yet', { reason: String(error) })
    }
  }

  /** As the chain has it now: a reorganisation can take back a claim or a top-up. */
  #remember({ podId }: PodRow, { deposited, claimed }: ChannelState): void {
    this.#parts.journal.change(podId, { deposited, claimed })
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

  async #tryClaim(podId: string, state: ChannelState, view: ChannelView): Promise<void> {
    try {
      await this.#redeem(podId, state, view)
      await this.#claim(podId, state, view)
    } catch (error) {
      this.#parts.log.warn('not claimed yet', { pod: podId, reason: String(error) })
    }
  }

  /** Claims what the newest receipt and the cap allow, when it is worth its gas. */
  async #claim(podId: string, state: ChannelState, view: ChannelView): Promise<void> {
    const { journal, log } = this.#parts
    const receipt = await this.#claimable(podId, state, view)
    const row = journal.pod(podId)
    if (!row || !receipt) return
    const cumulative = BigInt(receipt.cumulative)
    const situation = { unclaimed: cumulative - row.claimed, gasPrice: view.gasPrice, closing: state.closeAt !== 0 }
    if (!isWorthClaiming(this.#parts, situation)) return
    const { transaction } = await claim(view.chain, channelOf(row).terms, { receipt })
    journal.change(podId, { claimed: cumulative })
    log.info('claimed', { pod: podId, cumulative: cumulative.toString(), transaction })
  }

  /** Takes by the payer's voucher what is owed above the cap. */
  async #redeem(podId: string, state: ChannelState, { chain, pendingSeconds, gasPrice }: ChannelView): Promise<void> {
    const { journal, meter, log } = this.#parts
    const row = journal.pod(podId)
    if (!row?.voucher) return
    const { terms } = channelOf(row)
    const { cumulative } = row.voucher
    const reach = smaller(smaller(meter.owed(row, quoteOf(row)), state.deposited), cumulative)
    if (reach < cumulative || capAt(terms, state, pendingSeconds) >= cumulative) return
    const situation = { unclaimed: cumulative - row.claimed, gasPrice, closing: row.phase !== 'running' }
    if (!isWorthClaiming(this.#parts, situation)) return
    const { transaction } = await redeem(chain, terms, { voucher: row.voucher })
    journal.change(podId, { claimed: cumulative })
    log.info('voucher redeemed', { pod: podId, cumulative: cumulative.toString(), transaction })
  }

  /** A receipt for what is owed, as far as the cap at the pending block and the deposit on the chain reach. */
  async #claimable(podId: string, state: ChannelState, view: ChannelView): Promise<Receipt | undefined> {
    const { journal, meter } = this.#parts
    const row = journal.pod(podId)
    if (!row || meter.runningSeconds(podId) === 0n) return undefined
    const quote = quoteOf(row)
    const cap = smaller(capAt(channelOf(row).terms, state, view.pendingSeconds), state.deposited)
    if (smaller(meter.owed(row, quote), state.deposited) > cap) this.#aboveCap.add(podId)
    else this.#aboveCap.delete(podId)
    return meter.receipt(row, quote, { atMost: cap })
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

  async #alone<T>(podId: string, act: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(podId) ?? Promise.resolve()
    const mine = before.then(act, act)
    this.#busy.set(podId, mine)
    try {
      return await mine
    } finally {
      if (this.#busy.get(podId) === mine) this.#busy.delete(podId)
    }
  }
}

function closing(): TrustedPodsError {
  return new TrustedPodsError(
    'CHANNEL_CLOSING',
    'the channel was closed, or a close was requested, before the pod started',
  )
}

/** The channel that pays for a pod. */
export function channelOf(row: PodRow): OpenedChannel {
  return fromProtoChannel(fromBinary(PaymentChannelSchema, row.channel))
}
