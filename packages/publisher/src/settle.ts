/** Gets the money of a lease back from the chain: after the provider let go, or without it. Spec: spec/PAYMENT.md#close. */
import { smaller } from '@trusted-pods/protocol/bigints.ts'
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { finalizeClose, readChannel, requestClose, withdraw } from '@trusted-pods/protocol/chain/escrow.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { decodeFunctionResult, encodeFunctionData, type Hex } from 'viem'
import { inPhase, type Lease, type LeaseOf, type LeaseStore } from './lease.ts'
import { waitMs } from './wait.ts'

export interface SettleOptions {
  leases: LeaseStore
  signal?: AbortSignal
}

export interface Ended {
  readonly kind: 'ended'
  readonly lease: LeaseOf<'ended'>
  /** What the provider got, base units. */
  readonly paid: bigint
  /** What came back to the wallet, base units. */
  readonly refund: bigint
  /** The withdrawal; absent where nothing was left to withdraw. */
  readonly withdrawal?: Hex
}

export interface Waiting {
  readonly kind: 'waiting'
  readonly lease: LeaseOf<'closing'>
  /** When the refund is due: stop again then. */
  readonly closeAt: Date
}

/** 120 s: the provider's last claim and close are one transaction, and ten blocks may pass before it is mined. */
export const CLOSE_TIMEOUT_MS = 120_000
/** An anvil or L2 block takes about as long. */
const CLOSE_POLL_MS = 1_000

/** Waits until the provider has closed the channel; undefined when it has not in time. */
export async function waitUntilClosed(
  chain: Chain,
  lease: Lease,
  { signal }: { signal?: AbortSignal } = {},
): Promise<ChannelState | undefined> {
  const until = performance.now() + CLOSE_TIMEOUT_MS
  for (;;) {
    const state = await channelOf(chain, lease)
    if (state?.closed) return state
    if (performance.now() > until) return undefined
    await waitMs(CLOSE_POLL_MS, signal ? { signal } : {})
  }
}

/** The channel's state; undefined: the endpoint shows none, because it was never opened or because the endpoint lags. */
export function channelOf(chain: Chain, lease: Lease): Promise<ChannelState | undefined> {
  return readChannel(chain, channelId(lease.channel.terms, lease.channel))
}

/**
 * Takes the refund of a closed channel out of the escrow. Safe to repeat: what was withdrawn before is not asked for again.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when the endpoint, having shown the close, no longer does.
 */
export async function withdrawRefund(
  chain: Chain,
  lease: Lease,
  { reason, leases, signal }: SettleOptions & { reason: string },
): Promise<Ended> {
  const { token } = lease.channel.terms
  const { state, held } = await readRefund(chain, lease)
  if (!state.closed) throw notShown(lease, 'the close of the channel')
  const refund = state.deposited - state.claimed
  const amount = smaller(held, refund)
  const mined = amount > 0n ? await withdraw(chain, { token, amount, signal }) : undefined
  const ended = inPhase(lease, { kind: 'ended', endedAt: new Date(), paid: state.claimed, refund, reason } as const)
  await leases.save(ended)
  return { kind: 'ended', lease: ended, paid: state.claimed, refund, ...(mined && { withdrawal: mined.transaction }) }
}

/**
 * Closes without the provider: asks the chain, and once the unlock delay has passed takes the refund.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when the endpoint does not show the channel.
 */
export async function closeWithoutProvider(
  chain: Chain,
  lease: Lease,
  { reason, leases, signal }: SettleOptions & { reason: string },
): Promise<Ended | Waiting> {
  const { terms } = lease.channel
  let state = await requireChannel(chain, lease)
  if (!state.closed && state.closeAt === 0) {
    await requestClose(chain, terms, { signal })
    state = await requireChannel(chain, lease)
  }
  if (!state.closed && (await chainTime(chain)) >= state.closeAt) {
    await finalizeClose(chain, terms, { signal })
    state = await requireChannel(chain, lease)
  }
  if (state.closed) return withdrawRefund(chain, lease, { reason, leases, ...(signal && { signal }) })
  const closeAt = new Date(state.closeAt * 1000)
  const closing = inPhase(lease, { kind: 'closing', closeAt, reason } as const)
  await leases.save(closing)
  return { kind: 'waiting', lease: closing, closeAt }
}

async function requireChannel(chain: Chain, lease: Lease): Promise<ChannelState> {
  const state = await channelOf(chain, lease)
  if (!state) throw notShown(lease)
  return state
}

/** What an endpoint does not show of a lease whose channel was opened: it lags, and nothing is known. */
export function notShown(lease: Lease, what = 'the channel'): TrustedPodsError {
  const opened =
    'openTransaction' in lease ? `that was opened in transaction ${lease.openTransaction}` : 'that was open'
  return new TrustedPodsError(
    'CHANNEL_RPC_UNAVAILABLE',
    `the chain does not show ${what} ${opened}: the endpoint lags or is on another fork; nothing was changed`,
  )
}

/**
 * The channel and what the payer may withdraw, in one call and so of one block: a credit of an older block than the close would
 * look as if the refund had been taken.
 */
async function readRefund(
  chain: Chain,
  { channel: { terms, ...place } }: Lease,
): Promise<{ state: ChannelState; held: bigint }> {
  const abi = podEscrowAbi
  const id = channelId(terms, place)
  const calls = [
    encodeFunctionData({ abi, functionName: 'channels', args: [id] }),
    encodeFunctionData({ abi, functionName: 'credit', args: [terms.payer, terms.token] }),
  ]
  const call = { address: chain.escrow, abi, functionName: 'multicall', args: [calls] } as const
  const { result } = await fromChain('reading the refund', chain.public.simulateContract(call))
  const [state = '0x', held = '0x'] = result
  return {
    state: decodeFunctionResult({ abi, functionName: 'channels', data: state }),
    held: decodeFunctionResult({ abi, functionName: 'credit', data: held }),
  }
}

/** Unix seconds of the pending block: what a transaction sent now is judged by, at the least. */
async function chainTime(chain: Chain): Promise<number> {
  const { timestamp } = await fromChain('reading the time of the chain', chain.public.getBlock({ blockTag: 'pending' }))
  return Number(timestamp)
}
