/**
 * Claims what running pods owe, by policy: vouchers one by one, receipts of many channels in one transaction. A claim that fails is
 * made at the next look; what the chain calls claimed is where it begins. Spec: spec/PAYMENT.md#claims.
 */
import { larger, smaller } from '@trusted-pods/protocol/bigints.ts'
import { type ClaimItem, claimBatch, findRefused } from '@trusted-pods/protocol/chain/claim-batch.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { redeem } from '@trusted-pods/protocol/chain/escrow.ts'
import { capAt } from '@trusted-pods/protocol/channel/cap.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { channelOf } from './channel-of.ts'
import type { ChannelView } from './channel-view.ts'
import { type ClaimPolicy, type ClaimSituation, chooseClaims } from './claim-policy.ts'
import { claimable, claimLimit, claimReceipt, remember } from './claimable.ts'
import type { Journal } from './journal.ts'
import type { Meter } from './meter.ts'
import type { PodRow } from './pod-row.ts'
import { quoteOf } from './quoted.ts'
import { latestClaimAt } from './unlock-window.ts'

export interface ClaimerParts extends ClaimPolicy {
  readonly journal: Journal
  readonly meter: Meter
  readonly log: Logger
}

interface Due extends ClaimSituation {
  readonly podId: string
  /** At most so much may be claimed in all. */
  readonly limit: bigint
}

interface Item extends ClaimItem {
  readonly podId: string
}

/** A pod, and its channel as the chain has it. */
interface Seen {
  readonly row: PodRow
  readonly state: ChannelState
}

/** Call `claimDue` once at a time. */
export class Claimer {
  readonly #parts: ClaimerParts
  /** When the last claim was mined, by `performance.now()`: a view from before does not show it. */
  #claimedAtMs = 0

  constructor(parts: ClaimerParts) {
    this.#parts = parts
  }

  /** Claims what is worth it of the channels in the view; says what fails, and never rejects. */
  async claimDue(view: ChannelView): Promise<void> {
    const { journal, log } = this.#parts
    if (view.takenAtMs < this.#claimedAtMs) return
    const seen = [...view.states].flatMap(([podId, state]) => {
      const row = journal.pod(podId)
      if (!row || state.closed || row.settlement !== undefined) return []
      remember(row, state, this.#parts)
      return [{ row, state }]
    })
    const redeemable = seen.filter((one) => this.#mayRedeem(one, view))
    const due = seen.filter((one) => !redeemable.includes(one)).map((one) => this.#due(one, view))
    const batches = chooseClaims(this.#parts, due, view.gasPrice)
    await Promise.all([
      ...redeemable.map(({ row }) =>
        this.#redeem(row, view).catch((error: unknown) =>
          log.warn('voucher not redeemed yet', { pod: row.podId, reason: String(error) }),
        ),
      ),
      ...batches.map((batch) =>
        this.#claim(batch, view).catch((error: unknown) =>
          log.warn('not claimed yet', { pods: batch.length, reason: String(error) }),
        ),
      ),
    ])
  }

  #due({ row, state }: Seen, { pendingSeconds }: ChannelView): Due {
    const limit = claimLimit(row, state, pendingSeconds)
    const unclaimed = claimable(row, limit, this.#parts) - state.claimed
    return { podId: row.podId, limit, unclaimed, ...this.#times({ row, state }) }
  }

  #times({ row, state: { closeAt } }: Seen): Pick<Due, 'closeAt' | 'unlockDelay' | 'secondsSinceClaim'> {
    const { unlockDelay } = channelOf(row).terms
    const secondsSinceClaim = (Date.now() - (row.claimedAtMs ?? row.acceptedAtMs)) / 1000
    return { closeAt, unlockDelay, secondsSinceClaim }
  }

  async #claim(batch: readonly Due[], { chain, pendingSeconds }: ChannelView): Promise<void> {
    const { log } = this.#parts
    const urgent = batch.some(({ closeAt }) => closeAt !== 0)
    for (const { podId, closeAt } of batch.filter((due) => due.closeAt !== 0 && pendingSeconds > latestClaimAt(due)))
      log.error('a close request was seen late: its refund may come before the claim', { pod: podId, closeAt })
    const items = (await Promise.all(batch.map((due) => this.#item(due)))).filter((item) => item !== undefined)
    const refused = await findRefused(chain, items)
    for (const { item, error } of refused)
      log.warn('a claim is refused, and left out of its batch', { pod: item.podId, reason: error.message })
    const good = items.filter((item) => !refused.some((other) => other.item === item))
    if (good.length > 0) await this.#send(good, { chain, urgent })
  }

  /** Signed only now: most looks end in no claim. */
  async #item({ podId, limit }: Due): Promise<Item | undefined> {
    const row = this.#parts.journal.pod(podId)
    const receipt = await claimReceipt(podId, limit, this.#parts)
    return row && receipt && { podId, receipt, terms: channelOf(row).terms }
  }

  async #send(items: readonly Item[], { chain, urgent }: { chain: Chain; urgent: boolean }): Promise<void> {
    const { log } = this.#parts
    const { transaction, isEarlier } = await claimBatch(chain, items, { urgent })
    this.#claimedAtMs = performance.now()
    // What was in it the chain will say.
    if (isEarlier) return log.info('claims of an earlier run are mined', { transaction })
    for (const { podId, receipt } of items) this.#keep(podId, BigInt(receipt.cumulative))
    const pods = items.map(({ podId }) => podId.slice(0, 16)).join(' ')
    log.info('claimed', { pods, channels: items.length, transaction })
  }

  #mayRedeem({ row, state }: Seen, { pendingSeconds, gasPrice }: ChannelView): boolean {
    const { voucher } = row
    if (!voucher || voucher.cumulative <= state.claimed) return false
    const { terms } = channelOf(row)
    const reach = smaller(this.#parts.meter.owed(row, quoteOf(row)), state.deposited)
    if (reach < voucher.cumulative || capAt(terms, state, pendingSeconds) >= voucher.cumulative) return false
    const situation = { unclaimed: voucher.cumulative - state.claimed, ...this.#times({ row, state }) }
    return chooseClaims(this.#parts, [situation], gasPrice).length > 0
  }

  /** Takes by the payer's voucher what is owed above the cap. */
  async #redeem(row: PodRow, { chain }: ChannelView): Promise<void> {
    const { log } = this.#parts
    if (!row.voucher) return
    const { transaction } = await redeem(chain, channelOf(row).terms, { voucher: row.voucher })
    this.#claimedAtMs = performance.now()
    this.#keep(row.podId, row.voucher.cumulative)
    log.info('voucher redeemed', { pod: row.podId, cumulative: row.voucher.cumulative.toString(), transaction })
  }

  #keep(podId: string, cumulative: bigint): void {
    const { journal } = this.#parts
    const claimed = larger(cumulative, journal.pod(podId)?.claimed ?? 0n)
    journal.change(podId, { claimed, claimedAtMs: Date.now() })
  }
}
