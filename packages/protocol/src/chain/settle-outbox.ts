/**
 * Takes up transactions that nobody waits for any more, because a process died or gave up: those that were mined are told, the
 * others are handed over again, and nonces that would hold them up for ever are filled. Spec: spec/PAYMENT.md#outbox.
 */
import type { TransactionReceipt } from 'viem'
import { findReceipt, raiseFee } from './await-mined.ts'
import { fromChain } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import { newestAttempt, type OutboxEntry } from './outbox.ts'
import { fillGap } from './resend.ts'
import { accountOf, handOver } from './submit.ts'

export interface LeftTransactions {
  /** Mined meanwhile, and now forgotten. */
  readonly mined: readonly { readonly entry: OutboxEntry; readonly receipt: TransactionReceipt }[]
  /** Still on their way. */
  readonly waiting: readonly OutboxEntry[]
  /** Another transaction has their nonce: they can never be mined, and are forgotten. */
  readonly lost: readonly OutboxEntry[]
}

/** A transaction is given up only when its nonce was used this many blocks ago: by then any endpoint of a list shows its receipt. */
const LOST_AFTER_LOOKS = 3

/** Call it in the wallet's turn. Without left transactions it asks no node. */
export async function settleOutbox(node: ChainNode): Promise<LeftTransactions> {
  const { outbox, awaited } = requireWallet(node)
  const left = (await outbox.load(accountOf(node))).filter(({ nonce }) => !awaited.has(nonce))
  const found: {
    mined: { entry: OutboxEntry; receipt: TransactionReceipt }[]
    waiting: OutboxEntry[]
    lost: OutboxEntry[]
  } = {
    mined: [],
    waiting: [],
    lost: [],
  }
  for (const entry of left) {
    const receipt = await findReceipt(node, entry)
    if (receipt) found.mined.push({ entry, receipt })
    else if (await isLost(node, entry)) found.lost.push(entry)
    else found.waiting.push(entry)
  }
  for (const { entry } of found.mined) await outbox.remove(accountOf(node), entry.nonce, { isMined: true })
  for (const { nonce } of found.lost) await outbox.remove(accountOf(node), nonce)
  const [lowest] = found.waiting
  if (lowest !== undefined) await fillGap(node, lowest.nonce)
  for (const entry of found.waiting) await handOverAgain(node, entry)
  return found
}

/** Every look must say that the nonce is used, and show no receipt of ours. */
async function isLost(node: ChainNode, entry: OutboxEntry): Promise<boolean> {
  for (let look = 0; look < LOST_AFTER_LOOKS; look++) {
    if ((await minedCount(node)) <= entry.nonce || (await findReceipt(node, entry))) return false
  }
  return true
}

/** A hanging one is made dearer first. */
async function handOverAgain(node: ChainNode, entry: OutboxEntry): Promise<void> {
  const hangs = Date.now() - newestAttempt(entry).signedAtMs > node.raiseFeeAfterMs
  const current = (hangs ? await raiseFee(node, entry) : undefined) ?? entry
  const outcome = await handOver(node, current)
  if (outcome.kind === 'unknown') throw outcome.error
}

function minedCount(node: ChainNode): Promise<number> {
  const { address } = accountOf(node)
  return fromChain('reading the nonce', node.public.getTransactionCount({ address, blockTag: 'latest' }))
}
