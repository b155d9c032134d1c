/**
 * Hands stored transactions over again, from the lowest nonce up, and fills nonces that would hold them up for ever.
 * Spec: spec/PAYMENT.md#outbox.
 */
import { fromChain } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import { accountOf, fillerAt, handOver } from './submit.ts'

/**
 * Every stored transaction up to this nonce: one above another that nodes have dropped is not mined before it. Returns a nonce that
 * holds them up and is not ours.
 */
export async function resendUpTo(node: ChainNode, nonce: number): Promise<number | undefined> {
  const stored = await requireWallet(node).outbox.load(accountOf(node))
  const [lowest] = stored
  const missing = lowest && (await fillGap(node, lowest.nonce))
  for (const entry of stored.filter((entry) => entry.nonce <= nonce)) {
    // Nodes that have it say so, one that dropped it takes it anew; a refusal shows in what is mined.
    const outcome = await handOver(node, entry)
    if (outcome.kind === 'unknown') throw outcome.error
  }
  return missing
}

/**
 * Nonces below ours that no transaction uses: nothing of ours is mined until each of them is used. One that was ours, and that a
 * reorganisation has freed, is used by a transfer of nothing to oneself; ours is not signed again under a lower nonce, because then
 * both could be mined. One that was never ours belongs to a transaction which another program has sent and our endpoint may not see:
 * it is left alone, whatever waits behind it. Returns the first such nonce.
 */
export async function fillGap(node: ChainNode, until: number): Promise<number | undefined> {
  const { outbox } = requireWallet(node)
  const account = accountOf(node)
  const next = await fromChain(
    'reading the nonce',
    node.public.getTransactionCount({ address: account.address, blockTag: 'pending' }),
  )
  for (let nonce = next; nonce < until; nonce++) {
    if (!(await outbox.wasMined(account, nonce))) return nonce
    const entry = await fillerAt(node, nonce)
    if (await outbox.add(account, entry)) await handOver(node, entry)
  }
  return undefined
}
