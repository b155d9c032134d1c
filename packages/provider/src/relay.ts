/**
 * Sends deposits that payers without gas coin have signed, at the provider's own cost: simulated, within a bound per day that no
 * crash forgets, one at a time for each payer. Spec: spec/PAYMENT.md#relay.
 */
import { fromChain, toCallError } from '@trusted-pods/protocol/chain/chain-error.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { depositCall, isUsed, verifyDeposit } from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { readChannel, settleClose } from '@trusted-pods/protocol/chain/escrow.ts'
import { gasLimitOf, isUnderWay, transact } from '@trusted-pods/protocol/chain/transact.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import type { TransferAuthorization } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import type { Hex } from 'viem'
import type { ChainLink } from './chain-link.ts'
import type { Relayed, RelayLedger } from './relay-ledger.ts'
import { CLOSE_GAS, leastRelayedDeposit, type RelayPolicy, refuse, requireWithinBudget } from './relay-policy.ts'

export interface RelayParts extends RelayPolicy {
  readonly link: ChainLink
  readonly ledger: RelayLedger
  readonly log: Logger
}

/** A deposit that came in; no transaction: somebody else has sent the same. */
export interface Deposited {
  readonly transaction: Hex | undefined
}

const DAY_MS = 24 * 3600 * 1000
/** An authorization that ends sooner may end before its transaction is mined, and cost gas for nothing. */
const LEAST_SECONDS = 60n
/** How long after its end an opening without a pod is a stray: whoever sent it may still be storing the pod. */
const STRAY_SECONDS = 120n
/** Between two looks for strays. */
const STRAY_MS = 60_000
/** Below the 60 s of silence that a publisher bears; it sends its request again and finds the same transaction. */
const WAIT_MS = 40_000

export class Relay {
  readonly #parts: RelayParts
  /** By payer: two of one payer may draw on the same tokens. */
  readonly #queues = new Map<string, Promise<unknown>>()
  /** By channel and salt: the same one asked for twice is sent once. */
  readonly #underWay = new Map<string, Promise<Deposited>>()

  constructor(parts: RelayParts) {
    this.#parts = parts
  }

  /** Least deposit for which an opening is sent; undefined: none is sent now. What cannot be seen is not promised. */
  async leastDeposit(minDeposit: bigint): Promise<bigint | undefined> {
    const { link, ledger, relayWeiPerDay } = this.#parts
    if (relayWeiPerDay === 0n) return undefined
    try {
      const gasPrice = await maxFeePerGas(link.require())
      const { total: spent } = ledger.spentSince(Date.now() - DAY_MS, '')
      return leastRelayedDeposit(this.#parts, { gasPrice, spent, minDeposit })
    } catch (error) {
      this.#parts.log.warn('no deposits are sent for others: gas has no price', { reason: String(error) })
      return undefined
    }
  }

  /**
   * Brings a signed deposit in, or finds that it has come in.
   * @throws TrustedPodsError CHANNEL_RELAY_REFUSED, CHANNEL_SIGNATURE, CHANNEL_NO_FUNDS and what else the contract says;
   * CHANNEL_NOT_FOUND when it is sent and not mined yet: ask again.
   */
  async send(terms: ChannelTerms, authorization: TransferAuthorization, kind: Relayed['kind']): Promise<Deposited> {
    const chain = this.#parts.link.require()
    await verifyDeposit(chain, terms, authorization)
    const key = `${channelId(terms, chain)} ${authorization.salt}`
    const sending = this.#underWay.get(key) ?? this.#inTurn(terms.payer, () => this.#send(terms, authorization, kind))
    this.#underWay.set(key, sending)
    // Whoever asks hears of the failure; here it only ends the turn.
    sending.catch(() => undefined).finally(() => this.#underWay.delete(key))
    const waiting = new AbortController()
    try {
      return await Promise.race([sending, notMinedYet(waiting.signal)])
    } finally {
      waiting.abort()
    }
  }

  /** Whether the refund of this channel is to be sent to its payer, too. */
  hasOpened(id: Hex): boolean {
    return this.#parts.ledger.hasOpened(id)
  }

  /** Lets go of a channel that was opened for a pod which was then refused. Tried again by `releaseStrays` where it fails. */
  async release(terms: ChannelTerms): Promise<void> {
    const { link, ledger, log } = this.#parts
    const chain = link.require()
    const id = channelId(terms, chain)
    const state = await readChannel(chain, id)
    if (state === undefined) return
    if (!state.closed) await settleClose(chain, terms, { payOut: true })
    ledger.close(id)
    log.info('a channel without a pod is let go', { channel: id })
  }

  /** Channels that were opened for a pod which never came: the publisher or this provider died in between. */
  async releaseStrays(hasPod: (podId: string) => boolean): Promise<void> {
    const { link, ledger, log } = this.#parts
    for (const { channelId: id, terms, validBefore } of ledger.openings()) {
      if (hasPod(id.slice(2))) ledger.close(id)
      else {
        try {
          if ((await chainSeconds(link.require())) < validBefore + STRAY_SECONDS) continue
          if ((await readChannel(link.require(), id)) === undefined) ledger.close(id)
          else await this.release(terms)
        } catch (error) {
          log.warn('a channel without a pod is not let go yet', { channel: id, reason: String(error) })
        }
      }
    }
  }

  async #send(terms: ChannelTerms, authorization: TransferAuthorization, kind: Relayed['kind']): Promise<Deposited> {
    const { link, log } = this.#parts
    const chain = link.require()
    const id = channelId(terms, chain)
    try {
      const call = { ...depositCall(chain, terms, authorization), intent: `relay ${id} ${authorization.salt}` }
      // What an earlier run has sent is counted, and at the pending block it is used up by itself.
      if (!(await isUnderWay(chain, call.intent)))
        this.#reserve(terms, authorization, { kind, id, wei: await mostWei(chain, { call, authorization, kind }) })
      const { transaction } = await transact(chain, call)
      log.info('sent a deposit for its payer', { channel: id, kind, transaction })
      return { transaction }
    } catch (error) {
      // Whoever sees an authorization can send it: then it has come in all the same.
      if (isRefused(error) && (await isUsed(chain, terms, authorization)) && (await readChannel(chain, id)))
        return { transaction: undefined }
      throw error
    }
  }

  #reserve(
    terms: ChannelTerms,
    { validBefore }: TransferAuthorization,
    { kind, id, wei }: { kind: Relayed['kind']; id: Hex; wei: bigint },
  ): void {
    const { ledger } = this.#parts
    const atMs = Date.now()
    requireWithinBudget(this.#parts, ledger.spentSince(atMs - DAY_MS, terms.payer), wei)
    ledger.add({ channelId: id, terms, wei, atMs, validBefore, kind })
  }

  async #inTurn<T>(payer: string, act: () => Promise<T>): Promise<T> {
    const key = payer.toLowerCase()
    const before = this.#queues.get(key) ?? Promise.resolve()
    const mine = before.then(act, act)
    this.#queues.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#queues.get(key) === mine) this.#queues.delete(key)
    }
  }
}

/** Looks after strays until disposed. */
export function keepReleasing(relay: Relay, hasPod: (podId: string) => boolean): AsyncDisposable {
  const stop = new AbortController()
  const looking = (async () => {
    for (; !stop.signal.aborted; await pause(STRAY_MS, stop.signal)) await relay.releaseStrays(hasPod)
  })()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the provider is stopping'))
      await looking
    },
  }
}

interface Sending {
  readonly call: ReturnType<typeof depositCall>
  readonly authorization: TransferAuthorization
  readonly kind: Relayed['kind']
}

/** At the pending block: refusals cost nothing and have a name. An opening is paid for with its end: whoever stops at once pays neither. */
async function mostWei(chain: Chain, { call, authorization: { validBefore }, kind }: Sending): Promise<bigint> {
  const { timestamp } = await fromChain('reading the pending block', chain.public.getBlock({ blockTag: 'pending' }))
  if (timestamp + LEAST_SECONDS > validBefore)
    refuse(`the authorization ends at ${validBefore}, the chain is at ${timestamp}, ${LEAST_SECONDS} s are wanted`)
  const { to, data, abi, what } = call
  const account = requireWallet(chain).account.address
  try {
    const gas = await chain.public.estimateGas({ account, ...(to && { to }), data, blockTag: 'pending' })
    return (gasLimitOf(gas) + (kind === 'open' ? CLOSE_GAS : 0n)) * (await maxFeePerGas(chain))
  } catch (error) {
    throw toCallError(what, error, abi)
  }
}

async function maxFeePerGas(chain: Chain): Promise<bigint> {
  return (await fromChain('reading the fees', chain.public.estimateFeesPerGas())).maxFeePerGas
}

async function chainSeconds(chain: Chain): Promise<bigint> {
  return (await fromChain('reading the time of the chain', chain.public.getBlock())).timestamp
}

async function notMinedYet(signal: AbortSignal): Promise<never> {
  await pause(WAIT_MS, signal)
  throw new TrustedPodsError('CHANNEL_NOT_FOUND', 'the transaction that brings the deposit in is not mined yet')
}

function isRefused(error: unknown): boolean {
  return error instanceof TrustedPodsError && error.code !== 'CHANNEL_RPC_UNAVAILABLE'
}
