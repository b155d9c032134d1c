/**
 * What the chain says of all our channels, in a handful of requests however many they are. What cannot be seen is not in the view.
 * Spec: spec/PAYMENT.md#provider.
 */
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { readChannels } from '@trusted-pods/protocol/chain/escrow.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'

export interface ChannelView {
  readonly chain: Chain
  /** Channels that exist, by pod id. */
  readonly states: ReadonlyMap<string, ChannelState>
  /** Unix seconds of the pending block: what a claim that is sent now is judged by, at the least. */
  readonly pendingSeconds: number
  /** What one unit of gas costs now, wei. */
  readonly gasPrice: bigint
  /** When it was asked for, by `performance.now()`. */
  readonly takenAtMs: number
}

/** @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when any part of it is not known. */
export async function viewChannels(chain: Chain, podIds: readonly string[]): Promise<ChannelView> {
  const takenAtMs = performance.now()
  const [found, block, gasPrice] = await Promise.all([
    readChannels(
      chain,
      podIds.map((podId) => `0x${podId}` as const),
    ),
    fromChain('reading the pending block', chain.public.getBlock({ blockTag: 'pending' })),
    fromChain('reading the gas price', chain.public.getGasPrice()),
  ])
  const states = new Map<string, ChannelState>()
  for (const [id, state] of found) if (state) states.set(id.slice(2), state)
  return { chain, states, pendingSeconds: Number(block.timestamp), gasPrice, takenAtMs }
}
