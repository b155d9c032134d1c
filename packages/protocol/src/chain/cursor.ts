/**
 * Follows a chain block by block and notices when it was rewritten: nobody else tells. What was passed is remembered by number and
 * hash; where the chain now has another block, events are read again from the last one that is still there. So an event may come
 * twice, and whoever takes it must not mind. Spec: spec/PAYMENT.md#reorganisation.
 */
import { BlockNotFoundError, type Hex, type Log } from 'viem'
import { fromChain } from './chain-error.ts'
import type { ChainNode } from './client.ts'
import { readLogs } from './logs.ts'

export interface ChainPosition {
  readonly number: bigint
  readonly hash: Hex
}

export interface CursorStore {
  /** The newest first; empty: nothing was followed yet. */
  load(): readonly ChainPosition[]
  /** Durable when it returns. */
  save(trail: readonly ChainPosition[]): void
}

export interface Advance {
  /** Events of the contract since the last advance, in order; after a rewind some of them again. */
  readonly logs: readonly Log[]
  /** The chain was rewritten above this block: what was seen above it may be gone. */
  readonly rewoundTo?: bigint
}

/** Positions remembered: with a block a second those of some minutes. */
const TRAIL_LENGTH = 128
/** Where no position is left: a reorganisation this deep is beyond what any chain calls final. */
const DEEPEST_REWIND = 64n

/**
 * Reads what has happened and moves on. When it throws nothing has moved.
 * @param handle is done before the new position is stored: whoever dies in between is told again.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE.
 */
export async function advanceCursor(
  node: ChainNode,
  store: CursorStore,
  { address, handle }: { address: Hex; handle: (advance: Advance) => Promise<void> | void },
): Promise<void> {
  const trail = store.load()
  const block = await fromChain('reading the newest block', node.public.getBlock())
  const head = { number: block.number, hash: block.hash }
  if (trail[0]?.hash === head.hash) return
  const kept = await stillThere(node, trail)
  const rewound = trail.length > 0 && kept.length < trail.length
  const from = startOf(kept, trail, head)
  const logs = from > head.number ? [] : await readLogs(node, { address, fromBlock: from, toBlock: head.number })
  await handle({ logs, ...(rewound && { rewoundTo: from - 1n }) })
  store.save([head, ...kept.filter(({ number }) => number < head.number)].slice(0, TRAIL_LENGTH))
}

/** The part of the trail that the chain still has. An endpoint that has not come so far shows no block: that is no rewind. */
async function stillThere(node: ChainNode, trail: readonly ChainPosition[]): Promise<readonly ChainPosition[]> {
  for (const [i, { number, hash }] of trail.entries()) {
    const seen = await hashAt(node, number)
    if (seen === undefined || seen === hash) return trail.slice(i)
  }
  return []
}

async function hashAt(node: ChainNode, blockNumber: bigint): Promise<Hex | undefined> {
  try {
    return (await node.public.getBlock({ blockNumber })).hash
  } catch (error) {
    if (error instanceof BlockNotFoundError) return undefined
    return fromChain('reading a block', Promise.reject(error))
  }
}

function startOf(kept: readonly ChainPosition[], trail: readonly ChainPosition[], head: ChainPosition): bigint {
  if (kept[0]) return kept[0].number + 1n
  const oldest = trail.at(-1)
  // Whoever begins has nothing to catch up with: the state itself is read beside.
  if (oldest === undefined) return head.number + 1n
  return oldest.number > DEEPEST_REWIND ? oldest.number - DEEPEST_REWIND : 0n
}
