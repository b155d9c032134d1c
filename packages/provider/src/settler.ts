/**
 * The end of a channel: the rest is claimed, the channel let go and the earnings taken out, again and again until it holds. A
 * settlement that a reorganisation took back is made again. Spec: spec/PAYMENT.md#claims.
 */
import { larger, smaller } from '@trusted-pods/protocol/bigints.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { credit, redeem, settleClose, withdraw } from '@trusted-pods/protocol/chain/escrow.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { ChainLink } from './chain-link.ts'
import { channelOf } from './channel-of.ts'
import { type ChannelView, viewChannels } from './channel-view.ts'
import { type ClaimPolicy, chooseClaims } from './claim-policy.ts'
import { claimLimit, claimReceipt, remember } from './claimable.ts'
import { rebroadcast, wasReorganised } from './deposit-watch.ts'
import type { Journal } from './journal.ts'
import type { Meter } from './meter.ts'
import type { PodRow } from './pod-row.ts'
import { quoteOf } from './quoted.ts'
import { SerialQueue } from './runtime/serial-queue.ts'

/** Settlement of a channel that somebody else closed: there is no transaction of ours. */
const CLOSED_ELSEWHERE = '0x'
/** A reorganisation that removes a block this deep is none that any chain of ours has seen; the settlement is then for good. */
const FINAL_DEPTH = 64n

export interface SettlerParts extends ClaimPolicy {
  readonly journal: Journal
  readonly meter: Meter
  readonly link: ChainLink
  readonly log: Logger
  /** Its channel was opened at our cost: its payer may have no gas to fetch the refund. */
  isRelayed?(podId: string): boolean
}

export class Settler {
  readonly #parts: SettlerParts
  readonly #queue = new SerialQueue()

  constructor(parts: SettlerParts) {
    this.#parts = parts
  }

  /** Tried again by the caller until it holds. */
  async settle(podId: string): Promise<void> {
    await this.#queue.run(podId, async () => {
      try {
        await this.#settle(podId)
      } catch (error) {
        this.#parts.log.warn('channel not settled yet', { pod: podId, reason: String(error) })
      }
    })
  }

  /** Whether settlements still hold; one that is gone is to be made again. */
  async checkSettled(rows: readonly PodRow[]): Promise<void> {
    if (rows.length === 0) return
    const { journal, link, log } = this.#parts
    const chain = link.require()
    const { states } = await viewChannels(
      chain,
      rows.map(({ podId }) => podId),
    )
    const height = await chain.public.getBlockNumber()
    for (const { podId, settledBlock = height } of rows) {
      const state = states.get(podId)
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
    remember(row, state, this.#parts)
    await this.#redeem(podId, state, view)
    const receipt = await claimReceipt(podId, claimLimit(row, state, view.pendingSeconds), this.#parts)
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

  /** By the payer's voucher, what is owed above the cap. */
  async #redeem(podId: string, state: ChannelState, { chain, pendingSeconds, gasPrice }: ChannelView): Promise<void> {
    const { journal, meter, log } = this.#parts
    const row = journal.pod(podId)
    if (!row?.voucher) return
    const { cumulative } = row.voucher
    if (smaller(meter.owed(row, quoteOf(row)), state.deposited) < cumulative) return
    if (claimLimit(row, state, pendingSeconds) >= cumulative) return
    const { terms } = channelOf(row)
    // There is no later, as with a close that was requested.
    const situation = { unclaimed: cumulative - state.claimed, closeAt: pendingSeconds, secondsSinceClaim: 0, ...terms }
    if (chooseClaims(this.#parts, [situation], gasPrice).length === 0) return
    const { transaction } = await redeem(chain, terms, { voucher: row.voucher })
    journal.change(podId, { claimed: cumulative })
    log.info('voucher redeemed', { pod: podId, cumulative: cumulative.toString(), transaction })
  }
}
