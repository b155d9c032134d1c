/**
 * Openings that the payer signs and the provider sends. What was signed is stored before anybody has it, can be used once, and only
 * for this channel: asked for again it is the same, and nothing else is signed before it is over. Spec: spec/PAYMENT.md#relay.
 */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { depositCall, isExpired, signDeposit } from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { openIntent } from '@trusted-pods/protocol/chain/escrow.ts'
import { isUnderWay, transact } from '@trusted-pods/protocol/chain/transact.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  asFunded,
  draftLease,
  type FundOptions,
  findOpenTransaction,
  fundChannel,
  type OpenChannelOptions,
  requireFunds,
  requirePayer,
} from './channel.ts'
import { type FundingChoice, gasCoin } from './funding.ts'
import { inPhase, type LeaseOf } from './lease.ts'
import type { PayingLease } from './provision.ts'
import type { AgreedQuote } from './quote.ts'
import { waitMs } from './wait.ts'

/** 30 s: the provider has seen the block, our endpoint may be some blocks behind. */
const CONFIRM_MS = 30_000
const CONFIRM_POLL_MS = 500

/** A lease with a signed opening for the provider to send. Throws as `openChannel`, before anything is signed. */
export async function authorizeOpening(
  chain: Chain,
  quote: AgreedQuote,
  options: OpenChannelOptions,
): Promise<LeaseOf<'opening'>> {
  const draft = await draftLease(chain, quote, options)
  await requireFunds(chain, draft)
  return await sign(chain, draft, options)
}

/** The lease once its channel is seen on the chain. @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when it is not in time. */
export async function confirmOpening(
  chain: Chain,
  lease: LeaseOf<'opening'>,
  { leases, withinMs = CONFIRM_MS, signal }: FundOptions & { withinMs?: number },
): Promise<LeaseOf<'funded'>> {
  const until = performance.now() + withinMs
  for (;;) {
    const openTransaction = await findOpenTransaction(chain, lease)
    if (openTransaction) return await asFunded(chain, lease, { openTransaction, leases })
    if (performance.now() > until) throw notSeen(withinMs)
    await waitMs(CONFIRM_POLL_MS, signal ? { signal } : {})
  }
}

/**
 * A stored opening taken further: found on the chain, sent by ourselves, or still to be sent by the provider. While a signed one can
 * be used, it and no other is sent.
 */
export async function takeUpOpening(
  chain: Chain,
  lease: LeaseOf<'opening'>,
  { funding = 'auto', ...options }: FundOptions & { funding?: FundingChoice },
): Promise<PayingLease> {
  const { relay, terms } = lease.channel
  if (relay === undefined) return await fundChannel(chain, lease, options)
  requirePayer(chain, lease)
  const isOver = await isExpired(chain, relay)
  const openTransaction = await findOpenTransaction(chain, lease)
  if (openTransaction) return await asFunded(chain, lease, { openTransaction, leases: options.leases })
  const intent = openIntent(chain, terms)
  // What we have handed in ourselves may still be mined: another that is signed beside it would come in on top.
  const isOwn = (await isUnderWay(chain, intent)) || (await isOurs(chain, funding))
  if (!isOwn) return isOver ? await sign(chain, lease, options) : lease
  if (isOver) return await fundChannel(chain, withoutRelay(lease), options)
  await transact(chain, { ...depositCall(chain, terms, relay), intent }, { signal: options.signal })
  return await confirmOpening(chain, lease, options)
}

async function isOurs(chain: Chain, funding: FundingChoice): Promise<boolean> {
  if (funding !== 'auto') return funding === 'own'
  const { have, need } = await gasCoin(chain)
  return have >= need
}

async function sign(chain: Chain, lease: LeaseOf<'opening'>, { leases }: FundOptions): Promise<LeaseOf<'opening'>> {
  const { terms, deposit } = lease.channel
  const relay = await signDeposit(chain, terms, { amount: deposit })
  const signed = inPhase({ ...lease, channel: { ...lease.channel, relay } }, { kind: 'opening', draft: lease.draft })
  await leases.save(signed)
  return signed
}

function withoutRelay(lease: LeaseOf<'opening'>): LeaseOf<'opening'> {
  const { relay: _, ...channel } = lease.channel
  return { ...lease, channel }
}

function notSeen(withinMs: number): TrustedPodsError {
  return new TrustedPodsError(
    'CHANNEL_RPC_UNAVAILABLE',
    `the provider has taken the pod, but within ${withinMs / 1000} s our endpoint has not shown the channel that it opened`,
  )
}
