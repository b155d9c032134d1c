/**
 * Hands stored transactions over again, from the lowest nonce up, and fills nonces that would hold them up for ever.
 * Spec: spec/PAYMENT.md#outbox.
 */
import { fromChain } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import { marketFees } from './fees.ts'
import { accountOf, handOver, sign } from './submit.ts'

/** What a transfer of nothing to oneself costs. */
const TRANSFER_GAS = 21_000n

/** Every stored transaction up to this nonce: one above another that nodes have dropped is not mined before it. */
export async function resendUpTo(node: ChainNode, nonce: number): Promise<void> {
  const stored = await requireWallet(node).outbox.load(accountOf(node))
  const [lowest] = stored
  if (lowest !== undefined) await fillGap(node, lowest.nonce)
  for (const entry of stored.filter((entry) => entry.nonce <= nonce)) {
    // Nodes that have it say so, one that dropped it takes it anew; a refusal shows in what is mined.
    const outcome = await handOver(node, entry)
    if (outcome.kind === 'unknown') throw outcome.error
  }
}

/**
 * Somebody's transactions below ours are gone: nothing of ours is mined until each of their nonces is used. A transfer of nothing to
 * oneself does that; ours is not signed again under a lower nonce, because then both could be mined.
 */
export async function fillGap(node: ChainNode, until: number): Promise<void> {
  const account = accountOf(node)
  const next = await fromChain(
    'reading the nonce',
    node.public.getTransactionCount({ address: account.address, blockTag: 'pending' }),
  )
  if (next >= until) return
  const fees = await marketFees(node)
  for (let nonce = next; nonce < until; nonce++) {
    const unsent = { what: 'filling a gap of nonces', to: account.address, data: '0x', gas: TRANSFER_GAS } as const
    const entry = { ...unsent, nonce, attempts: [await sign(node, unsent, { nonce, fees })] }
    if (await requireWallet(node).outbox.add(account, entry)) await handOver(node, entry)
  }
}
