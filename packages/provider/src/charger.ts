/**
 * Money of running and ended pods: receipts, claims, what the chain says of each channel, the settlement. A chain that cannot
 * be asked changes nothing: no pod is ended on missing knowledge. Spec: spec/PAYMENT.md#provider.
 */
import { fromBinary } from '@bufbuild/protobuf'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { accruedCap, claim, credit, readChannel, settleClose, withdraw } from '@trusted-pods/protocol/chain/escrow.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import { fromProtoChannel, type OpenedChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { PaymentChannelSchema, type Receipt } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Changes } from './changes.ts'
import type { Journal } from './journal.ts'
import type { Meter } from './meter.ts'
import type { PodRow } from './pod-row.ts'
import { quoteOf } from './quoted.ts'

/** Settlement of a channel that somebody else closed: there is no transaction of ours. */
const CLOSED_ELSEWHERE = '0x'

export interface ChargerParts {
  readonly journal: Journal
  readonly meter: Meter
  readonly chain: Chain
  readonly changes: Changes
  readonly log: Logger
  /** Least base units worth a transaction of their own. */
  readonly claimAtLeast: bigint
  /** How long a pod runs on once its deposit is used up. */
  readonly fundsGraceMs: number
}

/** What the charger found that ends a pod. */
export type ChargeVerdict = { kind: 'go-on' } | { kind: 'end'; code: string; message: string }

const SECONDS_PER_HOUR = 3600n
const GO_ON: ChargeVerdict = { kind: 'go-on' }

export class Charger {
  readonly #parts: ChargerParts
  /** One money action per channel at a time. */
  readonly #busy = new Map<string, Promise<unknown>>()

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

  /** Looks at the channel, claims when it is worth it, and says whether the pod may go on; a claim that fails changes neither. */
  async review(podId: string): Promise<ChargeVerdict> {
    return this.#alone(podId, async () => {
      const row = this.#parts.journal.pod(podId)
      if (!row || row.phase === 'stopping') return GO_ON
      const state = await this.#look(row)
      if (!state) return GO_ON
      if (state.closed) return { kind: 'end', code: 'channel-closed', message: 'the payment channel is closed' }
      const closing = state.closeAt !== 0
      await this.#tryClaim(podId, closing ? 1n : this.#parts.claimAtLeast)
      if (closing) return { kind: 'end', code: 'close-requested', message: 'the payer asked to close the channel' }
      return this.#checkFunds(podId)
    })
  }

  /** Just before a pod starts: its channel is still open. A chain that cannot be asked is no obstacle: it was asked at admission.
   * @throws TrustedPodsError CHANNEL_CLOSING. */
  async requireOpen(podId: string): Promise<void> {
    const row = this.#parts.journal.pod(podId)
    const state = row && (await this.#look(row))
    if (state && (state.closed || state.closeAt !== 0)) {
      throw new TrustedPodsError(
        'CHANNEL_CLOSING',
        'the channel was closed, or a close was requested, before the pod started',
      )
    }
  }

  /** The last receipt of a pod whose time has ended. */
  async finalReceipt(podId: string): Promise<void> {
    const { journal, meter } = this.#parts
    const row = journal.pod(podId)
    if (row && meter.runningSeconds(podId) > 0n) await meter.receipt(row, quoteOf(row))
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

  async #settle(podId: string): Promise<void> {
    const { journal, chain, log } = this.#parts
    const row = journal.pod(podId)
    if (!row || row.settlement) return
    const { terms } = channelOf(row)
    const state = await readChannel(chain, `0x${row.podId}`)
    // A node that lags shows no channel: what is not seen is not settled.
    if (!state) throw new TrustedPodsError('CHANNEL_NOT_FOUND', 'the chain does not show the channel')
    if (state.closed) return journal.change(podId, { settlement: CLOSED_ELSEWHERE, claimed: state.claimed })
    this.#remember(row, state)
    const receipt = await this.#claimable(podId)
    const { transaction } = await settleClose(
      chain,
      terms,
      receipt && BigInt(receipt.cumulative) > state.claimed ? { receipt } : {},
    )
    journal.change(podId, { settlement: transaction, ...(receipt && { claimed: BigInt(receipt.cumulative) }) })
    log.info('channel settled', { pod: podId, cumulative: receipt?.cumulative, transaction })
    await this.#takeEarnings(terms)
  }

  /** The earnings stay safe in the escrow's ledger when this fails; the next settlement takes them along. */
  async #takeEarnings({ provider, token }: ChannelTerms): Promise<void> {
    const { chain, log } = this.#parts
    try {
      if ((await credit(chain, { account: provider, token })) > 0n) await withdraw(chain, { token })
    } catch (error) {
      log.warn('earnings not withdrawn yet', { reason: String(error) })
    }
  }

  /** Both only grow: a lower figure is an older one. */
  #remember(row: PodRow, { deposited, claimed }: ChannelState): void {
    this.#parts.journal.change(row.podId, {
      deposited: larger(deposited, row.deposited),
      claimed: larger(claimed, row.claimed),
    })
  }

  async #look(row: PodRow): Promise<ChannelState | undefined> {
    const { chain, log } = this.#parts
    try {
      const state = await readChannel(chain, `0x${row.podId}`)
      if (state) this.#remember(row, state)
      return state
    } catch (error) {
      log.warn('channel not visible', { pod: row.podId, reason: String(error) })
      return undefined
    }
  }

  async #tryClaim(podId: string, least: bigint): Promise<void> {
    try {
      await this.#claim(podId, least)
    } catch (error) {
      this.#parts.log.warn('not claimed yet', { pod: podId, reason: String(error) })
    }
  }

  /** Claims what the newest receipt and the cap allow, when it is at least `least`. */
  async #claim(podId: string, least: bigint): Promise<void> {
    const { journal, chain, log } = this.#parts
    const receipt = await this.#claimable(podId)
    const row = journal.pod(podId)
    if (!row || !receipt) return
    const cumulative = BigInt(receipt.cumulative)
    if (cumulative - row.claimed < least) return
    const { transaction } = await claim(chain, channelOf(row).terms, { receipt })
    journal.change(podId, { claimed: cumulative })
    log.info('claimed', { pod: podId, cumulative, transaction })
  }

  /** A receipt for what is owed, as far as the cap at the pending block reaches. */
  async #claimable(podId: string): Promise<Receipt | undefined> {
    const { journal, meter, chain } = this.#parts
    const row = journal.pod(podId)
    if (!row || meter.runningSeconds(podId) === 0n) return undefined
    const { terms } = channelOf(row)
    const cap = await accruedCap(chain, terms)
    if (cap === 0n && (terms.ratePerHour * meter.runningSeconds(podId)) / SECONDS_PER_HOUR > 0n) {
      throw new TrustedPodsError(
        'CHANNEL_RPC_UNAVAILABLE',
        'the chain shows no cap for a channel that has run: its node lags',
      )
    }
    return meter.receipt(row, quoteOf(row), cap)
  }

  #checkFunds(podId: string): ChargeVerdict {
    const { journal, meter, fundsGraceMs } = this.#parts
    const row = journal.pod(podId)
    if (!row) return GO_ON
    if (meter.owed(row, quoteOf(row)) < row.deposited) {
      if (row.shortOfFundsAtMs !== undefined) journal.change(podId, { shortOfFundsAtMs: null })
      return GO_ON
    }
    const since = row.shortOfFundsAtMs ?? Date.now()
    if (row.shortOfFundsAtMs === undefined) journal.change(podId, { shortOfFundsAtMs: since })
    if (Date.now() - since < fundsGraceMs) return GO_ON
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

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

/** The channel that pays for a pod. */
export function channelOf(row: PodRow): OpenedChannel {
  return fromProtoChannel(fromBinary(PaymentChannelSchema, row.channel))
}
