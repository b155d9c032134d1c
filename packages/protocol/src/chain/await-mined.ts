/**
 * Waits until a stored transaction is mined: sends it again when nodes have dropped it, raises its fee when it hangs, and notices
 * when another transaction of the account has taken its nonce. Spec: spec/PAYMENT.md#outbox.
 */
import { type TransactionReceipt, TransactionReceiptNotFoundError } from 'viem'
import { TrustedPodsError } from '../errors.ts'
import { pause } from '../pause.ts'
import { fromChain } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import { raisedFees } from './fees.ts'
import { newestAttempt, type OutboxEntry } from './outbox.ts'
import { resendUpTo } from './resend.ts'
import { accountOf, handOver, sign } from './submit.ts'

/** Ten 12-second blocks: past it nothing is known, and the hash in the message tells where to look. */
export const MINED_TIMEOUT_MS = 120_000
/** Looks that must agree that the nonce is used up by another transaction: endpoints behind one list may be a block apart. */
const TAKEN_LOOKS = 5
/** Longer than a block of most chains: by then a transaction that is still not mined may have been dropped. */
const RESEND_MS = 5_000

interface WaitOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * The receipt of whichever signing was mined, deep enough; the entry is then gone from the outbox.
 * @throws TrustedPodsError CHANNEL_TRANSACTION_FAILED when it is not mined in time (the entry stays, and is sent again with the next
 * transaction) or can never be mined. The signal's reason when it aborts: the entry stays too.
 */
export async function awaitMined(
  node: ChainNode,
  entry: OutboxEntry,
  { signal }: WaitOptions = {},
): Promise<TransactionReceipt> {
  const { awaited } = requireWallet(node)
  awaited.add(entry.nonce)
  try {
    return await new Wait(node, entry).untilMined(signal)
  } finally {
    awaited.delete(entry.nonce)
  }
}

/** The receipt of any signing of the entry; undefined: none is in a block. */
export async function findReceipt(node: ChainNode, { attempts }: OutboxEntry): Promise<TransactionReceipt | undefined> {
  for (const { hash } of attempts.toReversed()) {
    try {
      return await node.public.getTransactionReceipt({ hash })
    } catch (error) {
      if (error instanceof TransactionReceiptNotFoundError) continue
      throw await asUnavailable(error)
    }
  }
  return undefined
}

function asUnavailable(error: unknown): Promise<unknown> {
  return fromChain('looking for the transaction', Promise.reject(error)).catch((told: unknown) => told)
}

class Wait {
  readonly #node: ChainNode
  #entry: OutboxEntry
  #takenLooks = 0
  /** What it waits for, where that is not ours to do. */
  #held = ''
  #resentAt = performance.now()

  constructor(node: ChainNode, entry: OutboxEntry) {
    this.#node = node
    this.#entry = entry
  }

  async untilMined(signal: AbortSignal | undefined): Promise<TransactionReceipt> {
    const until = performance.now() + MINED_TIMEOUT_MS
    for (;;) {
      signal?.throwIfAborted()
      const receipt = await this.#look()
      if (receipt) return receipt
      if (performance.now() > until) throw this.#notMined(`is not known to be mined; it still may be${this.#held}`)
      await pause(this.#node.public.pollingInterval, signal)
    }
  }

  /** A look that fails says nothing: the next one may not. */
  async #look(): Promise<TransactionReceipt | undefined> {
    try {
      await this.#reload()
      const receipt = await findReceipt(this.#node, this.#entry)
      if (receipt) return (await this.#isDeep(receipt)) ? await this.#done(receipt) : undefined
      await this.#requireNonce()
      await this.#push()
    } catch (error) {
      if (error instanceof TrustedPodsError && error.code === 'CHANNEL_RPC_UNAVAILABLE') return undefined
      throw error
    }
    return undefined
  }

  /** Another process that pays from the account may have made it dearer: then that signing may be the one that is mined. */
  async #reload(): Promise<void> {
    const stored = await requireWallet(this.#node).outbox.load(accountOf(this.#node))
    const entry = stored.find(({ nonce }) => nonce === this.#entry.nonce)
    if (entry && entry.attempts.length > this.#entry.attempts.length) this.#entry = entry
  }

  async #isDeep({ blockNumber }: TransactionReceipt): Promise<boolean> {
    if (this.#node.confirmations <= 1) return true
    const head = await fromChain('reading the block number', this.#node.public.getBlockNumber())
    return head - blockNumber + 1n >= BigInt(this.#node.confirmations)
  }

  async #done(receipt: TransactionReceipt): Promise<TransactionReceipt> {
    await requireWallet(this.#node).outbox.remove(accountOf(this.#node), this.#entry.nonce, { isMined: true })
    return receipt
  }

  /** @throws TrustedPodsError CHANNEL_TRANSACTION_FAILED when the nonce is used up and none of our signings did it. */
  async #requireNonce(): Promise<void> {
    const account = accountOf(this.#node)
    const mined = await fromChain(
      'reading the nonce',
      this.#node.public.getTransactionCount({ address: account.address, blockTag: 'latest' }),
    )
    this.#takenLooks = mined > this.#entry.nonce ? this.#takenLooks + 1 : 0
    if (this.#takenLooks < TAKEN_LOOKS) return
    await requireWallet(this.#node).outbox.remove(account, this.#entry.nonce)
    throw this.#notMined(
      `can no longer be mined: another transaction of ${account.address} has its nonce ${this.#entry.nonce}`,
    )
  }

  /** Once the fee is raised the next look waits as long again. */
  async #push(): Promise<void> {
    if (Date.now() - newestAttempt(this.#entry).signedAtMs > this.#node.raiseFeeAfterMs) await this.#raise()
    else if (performance.now() - this.#resentAt > RESEND_MS) {
      this.#resentAt = performance.now()
      const missing = await resendUpTo(this.#node, this.#entry.nonce)
      this.#held = missing === undefined ? '' : heldUpBy(accountOf(this.#node).address, missing)
    }
  }

  async #raise(): Promise<void> {
    const raised = await raiseFee(this.#node, this.#entry)
    if (raised === undefined) return
    this.#entry = raised
    await handOver(this.#node, raised)
  }

  #notMined(why: string): TrustedPodsError {
    const { hash } = newestAttempt(this.#entry)
    return new TrustedPodsError('CHANNEL_TRANSACTION_FAILED', `${this.#entry.what}: transaction ${hash} ${why}`)
  }
}

function heldUpBy(address: string, nonce: number): string {
  return `. It waits for nonce ${nonce} of ${address}, which another program has used and our endpoint does not see: finish or cancel that transaction there`
}

/** The entry with one more signing that pays more, stored; undefined: that would be above the configured most. */
export async function raiseFee(node: ChainNode, entry: OutboxEntry): Promise<OutboxEntry | undefined> {
  const { outbox } = requireWallet(node)
  const fees = await raisedFees(node, newestAttempt(entry))
  if (fees === undefined) return undefined
  const attempt = await sign(node, entry, { nonce: entry.nonce, fees })
  const raised = { ...entry, attempts: [...entry.attempts, attempt] }
  await outbox.replace(accountOf(node), raised)
  return raised
}
