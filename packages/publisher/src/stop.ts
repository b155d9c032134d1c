/**
 * Ends a lease: the pod by its provider where it can be reached, the channel by the chain in any case, the refund back in the
 * wallet. Can be repeated after a crash at any point. Spec: spec/PROTOCOL.md#stop.
 */
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { isExpired } from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { settleOutbox } from '@trusted-pods/protocol/chain/settle-outbox.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { requirePayer } from './channel.ts'
import { inPhase, type Lease, type LeaseFacts, type LeaseOf } from './lease.ts'
import { isRemoved, makeVoid } from './opening.ts'
import type { ReceiptView } from './receipt-watch.ts'
import { isLostConnection } from './reconnect.ts'
import {
  channelOf,
  closeWithoutProvider,
  type Ended,
  notShown,
  type Waiting,
  waitUntilClosed,
  withdrawRefund,
} from './settle.ts'
import { type StopPodOptions, stopPod } from './stop-pod.ts'

export interface StopOptions extends StopPodOptions {
  /** What is going on, for people. */
  report?: (text: string) => void
}

export type StopOutcome = (Ended | Waiting) & {
  /** The last receipt, as we judge it; none: the provider sent none. */
  readonly receipt: ReceiptView
}

/**
 * A lease that ended without a channel is looked up again: an endpoint that lagged may have hidden it.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE and the like: nothing is known, the lease stays as it was; CHANNEL_WALLET,
 * CHANNEL_WRONG_CHAIN: not the wallet or chain of this lease.
 */
export async function stopLease(chain: Chain, lease: Lease, options: StopOptions): Promise<StopOutcome> {
  if (lease.kind === 'ended' && lease.paid + lease.refund > 0n) return ended(lease)
  requirePayer(chain, lease)
  const state = await channelOf(chain, lease)
  if (!state) return withoutChannel(chain, lease, options)
  if (state.closed)
    return { ...(await withdrawRefund(chain, lease, { ...options, reason: 'closed' })), receipt: { kind: 'none' } }
  if (lease.kind === 'closing')
    return {
      ...(await closeWithoutProvider(chain, lease, { ...options, reason: lease.reason })),
      receipt: { kind: 'none' },
    }
  return stopByProvider(chain, lease, options)
}

async function stopByProvider(chain: Chain, lease: Lease, options: StopOptions): Promise<StopOutcome> {
  const { report = () => {}, signal } = options
  try {
    const { receipt } = await stopPod(lease, options)
    report('the pod has ended; waiting for the provider to close the channel')
    if (await waitUntilClosed(chain, lease, signal ? { signal } : {}))
      return { ...(await withdrawRefund(chain, lease, { ...options, reason: 'stopped' })), receipt }
    report('the provider does not close the channel: closing it without the provider')
    return {
      ...(await closeWithoutProvider(chain, lease, { ...options, reason: 'stopped, not closed by the provider' })),
      receipt,
    }
  } catch (error) {
    const reason = whyWithoutProvider(error)
    if (reason === undefined) throw error
    report(`${reason}: closing the channel without the provider`)
    return { ...(await closeWithoutProvider(chain, lease, { ...options, reason })), receipt: { kind: 'none' } }
  }
}

/** Why the provider is of no help; undefined: the failure is another one. */
function whyWithoutProvider(error: unknown): string | undefined {
  if (!(error instanceof TrustedPodsError)) return undefined
  if (isLostConnection(error)) return 'the provider cannot be reached'
  if (/^(CHANNEL|PLATFORM)_/.test(error.code) && !error.remote) return undefined
  return `the provider does not stop the pod (${error.code})`
}

/**
 * The chain shows no channel. An endpoint that lags shows none either: only for a lease that was never seen to be opened can it
 * mean that there is none.
 */
async function withoutChannel(chain: Chain, lease: Lease, options: StopOptions): Promise<StopOutcome> {
  switch (lease.kind) {
    case 'opening':
      return neverOpened(chain, lease, options)
    case 'ended':
      return ended(lease)
    case 'funded':
    case 'running':
    case 'closing':
      return removed(chain, lease, options)
  }
}

/** What a reorganisation has removed is not in the channel but in the wallet, and stays there once the opening can never be mined. */
async function removed(
  chain: Chain,
  lease: Lease,
  { leases, signal, report = () => {} }: StopOptions,
): Promise<StopOutcome> {
  const { opening } = lease.channel
  if (!opening || !(await isRemoved(chain, opening))) throw notShown(lease)
  report('a reorganisation of the chain has removed the deposit: making sure that it stays in the wallet')
  if (opening.nonce !== undefined) await makeVoid(chain, { nonce: opening.nonce }, signal)
  else await requireOver(chain, lease)
  if (await channelOf(chain, lease)) throw notShown(lease, 'one and the same state of the channel')
  const reason = 'its deposit was removed by a reorganisation'
  const record = inPhase(lease, { kind: 'ended', endedAt: new Date(), paid: 0n, refund: 0n, reason } as const)
  await leases.save(record)
  return ended(record)
}

/** @throws TrustedPodsError CHANNEL_NOT_FOUND while somebody can send the opening that was signed. */
async function requireOver(chain: Chain, { channel: { relay } }: LeaseFacts): Promise<void> {
  if (relay === undefined || (await isExpired(chain, relay))) return
  const until = new Date(Number(relay.validBefore) * 1000).toISOString()
  throw new TrustedPodsError(
    'CHANNEL_NOT_FOUND',
    `the channel is not on the chain, but the signed opening that the provider has can be sent until ${until}: stop again then`,
  )
}

/** Nothing was paid; but a transaction of ours that still waits to be mined could open the channel later. */
async function neverOpened(chain: Chain, lease: LeaseOf<'opening'>, { leases }: StopOptions): Promise<StopOutcome> {
  await requireOver(chain, lease)
  await requireNothingPending(chain, lease)
  // Looked at after the end of the authorization: one that was mined just before it shows now.
  if (await channelOf(chain, lease))
    throw new TrustedPodsError('CHANNEL_NOT_FOUND', 'the channel was opened just now: stop again')
  const never = { kind: 'ended', endedAt: new Date(), paid: 0n, refund: 0n, reason: 'never opened' } as const
  const record = inPhase(lease, never)
  await leases.save(record)
  return ended(record)
}

/** @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE from an endpoint that is behind the lease, CHANNEL_NOT_FOUND while a transaction waits. */
async function requireNothingPending(chain: Chain, { channel }: LeaseFacts): Promise<void> {
  const { payer } = channel.terms
  const left = await requireWallet(chain).inTurn(() => settleOutbox(chain))
  if (left.waiting.length > 0 || left.mined.length > 0) {
    throw new TrustedPodsError(
      'CHANNEL_NOT_FOUND',
      'a transaction of an earlier run was still on its way and may open the channel: try again in a moment',
    )
  }
  const count = (blockTag: 'latest' | 'pending') =>
    fromChain('reading the nonce', chain.public.getTransactionCount({ address: payer, blockTag }))
  const height = fromChain('reading the block number', chain.public.getBlockNumber({ cacheTime: 0 }))
  const [block, latest, pending] = await Promise.all([height, count('latest'), count('pending')])
  if (block < channel.sinceBlock) {
    throw new TrustedPodsError(
      'CHANNEL_RPC_UNAVAILABLE',
      `the endpoint is at block ${block}, the lease was made at block ${channel.sinceBlock}: whether its channel was opened is not known`,
    )
  }
  if (pending > latest) {
    throw new TrustedPodsError(
      'CHANNEL_NOT_FOUND',
      `the channel is not on the chain, but ${pending - latest} transactions of ${payer} still wait to be mined: try again once they are`,
    )
  }
}

function ended(lease: LeaseOf<'ended'>): StopOutcome {
  return { kind: 'ended', lease, paid: lease.paid, refund: lease.refund, receipt: { kind: 'none' } }
}
