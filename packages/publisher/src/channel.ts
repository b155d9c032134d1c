/**
 * Opens the payment channel of a lease. The lease is stored before money moves, and its id can be used on the chain once only:
 * whatever happens in between, money moves at most once and the record leads back to it. Spec: spec/PAYMENT.md#open.
 */

import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { toAddress, ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { MINED_TIMEOUT_MS } from '@trusted-pods/protocol/chain/await-mined.ts'
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { openChannel as openOnChain, readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { type ChannelTerms, channelId, MIN_UNLOCK_DELAY_SECONDS } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Hex, isAddressEqual } from 'viem'
import { inPhase, type Lease, type LeaseFacts, type LeaseOf, type LeaseProvider, type LeaseStore } from './lease.ts'
import { findOpening } from './opening.ts'
import type { AgreedQuote } from './quote.ts'
import { Secret } from './secret.ts'
import { waitMs } from './wait.ts'

export interface OpenChannelOptions {
  /** Base units to put in. */
  deposit: bigint
  /** The encoded Pod, priced by this quote; secret. */
  pod: Uint8Array
  /** What the publisher calls the lease. */
  name: string
  provider: LeaseProvider
  /** The provider's evidence was simulated. */
  simulated: boolean
  leases: LeaseStore
  /** 32 random bytes; drawn here when left out. */
  podId?: Hex
  now?: Date
  signal?: AbortSignal
}

export interface FundOptions {
  leases: LeaseStore
  signal?: AbortSignal
}

/** A day: longer than a provider needs to claim, short enough that a refund from one that vanished is not forgotten. */
export const MAX_UNLOCK_DELAY_ACCEPTED_SECONDS = 24 * 3600
const OPENING_POLL_MS = 500
const IDEMPOTENCY_KEY_BYTES = 16
const POD_ID_BYTES = 32

/**
 * A funded channel for a new lease.
 * @throws TrustedPodsError before money moves: QUOTE_EXPIRED, CHANNEL_UNDERFUNDED, CHANNEL_BAD_TERMS; from the chain: CHANNEL_….
 * After any of the latter the lease is stored as opening: `fundChannel` goes on.
 */
export async function openChannel(
  chain: Chain,
  quote: AgreedQuote,
  options: OpenChannelOptions,
): Promise<LeaseOf<'funded'>> {
  const opening = await draftLease(chain, quote, options)
  await requireFunds(chain, opening)
  await options.leases.save(opening)
  return fundChannel(chain, opening, options)
}

/** @throws TrustedPodsError CHANNEL_NO_FUNDS before there is a lease of which nobody would know whether it was paid. */
export async function requireFunds(chain: Chain, { channel: { terms, deposit } }: LeaseFacts): Promise<void> {
  const balance = await tokenBalance(chain, { token: terms.token, account: terms.payer })
  if (balance >= deposit) return
  throw new TrustedPodsError(
    'CHANNEL_NO_FUNDS',
    `${terms.payer} has ${balance} base units of token ${terms.token}, the deposit is ${deposit}`,
  )
}

/** The id of a lease and of its pod, to be used once. */
export function randomPodId(): Hex {
  return `0x${toHex(crypto.getRandomValues(new Uint8Array(POD_ID_BYTES)))}`
}

/** Makes sure that the channel of a stored lease is on the chain, once. Safe to repeat after a failure at any point. */
export async function fundChannel(
  chain: Chain,
  lease: LeaseOf<'opening'>,
  { leases, signal }: FundOptions,
): Promise<LeaseOf<'funded'>> {
  requirePayer(chain, lease)
  const openTransaction = (await findOpenTransaction(chain, lease)) ?? (await open(chain, lease, signal))
  return await asFunded(chain, lease, { openTransaction, leases })
}

/** The lease whose channel was seen to be open, stored. */
export async function asFunded(
  chain: Chain,
  lease: LeaseOf<'opening'>,
  { openTransaction, leases }: { openTransaction: Hex; leases: LeaseStore },
): Promise<LeaseOf<'funded'>> {
  const opening = await findOpening(chain, openTransaction, lease.channel.terms)
  const channel = { ...lease.channel, ...(opening && { opening }) }
  const funded = inPhase({ ...lease, channel }, { kind: 'funded', draft: lease.draft, openTransaction } as const)
  await leases.save(funded)
  return funded
}

/** @throws TrustedPodsError CHANNEL_WALLET, CHANNEL_WRONG_CHAIN when wallet or chain are not those of the lease. */
export function requirePayer(chain: Chain, { channel }: Lease): void {
  const { address } = requireWallet(chain).account
  if (!isAddressEqual(address, channel.terms.payer)) {
    throw new TrustedPodsError(
      'CHANNEL_WALLET',
      `the wallet is ${address}, the channel was opened by ${channel.terms.payer}`,
    )
  }
  if (BigInt(chain.chainId) !== channel.chainId || !isAddressEqual(chain.escrow, channel.escrow)) {
    throw new TrustedPodsError(
      'CHANNEL_WRONG_CHAIN',
      `connected to escrow ${chain.escrow} on chain ${chain.chainId}, the channel is in ${channel.escrow} on chain ${channel.chainId}`,
    )
  }
}

/** A lease that is not stored yet. @throws TrustedPodsError QUOTE_EXPIRED, CHANNEL_UNDERFUNDED, CHANNEL_BAD_TERMS. */
export async function draftLease(
  chain: Chain,
  quote: AgreedQuote,
  options: OpenChannelOptions,
): Promise<LeaseOf<'opening'>> {
  const { name, provider, simulated, deposit, pod, now = new Date() } = options
  const {
    expiresAt,
    signed,
    quote: { payment, pricing, resources },
  } = quote
  if (expiresAt <= now) {
    throw new TrustedPodsError(
      'QUOTE_EXPIRED',
      `the quote ended at ${expiresAt.toISOString()}, now ${now.toISOString()}`,
    )
  }
  if (deposit < BigInt(payment.minDeposit)) {
    throw new TrustedPodsError(
      'CHANNEL_UNDERFUNDED',
      `the deposit is ${deposit} base units, the quote asks for ${payment.minDeposit}`,
    )
  }
  const terms = channelTerms(chain, quote, options.podId ?? randomPodId())
  const draft = { idempotencyKey: crypto.getRandomValues(new Uint8Array(IDEMPOTENCY_KEY_BYTES)), pod, quote: signed }
  const sinceBlock = await fromChain('reading the block number', chain.public.getBlockNumber())
  const facts: LeaseFacts = {
    id: terms.podId.slice(2),
    name,
    createdAt: now,
    provider,
    channel: { chainId: BigInt(chain.chainId), escrow: chain.escrow, terms, deposit, sinceBlock },
    pricing,
    resources,
    simulated,
  }
  return { ...facts, kind: 'opening', draft: new Secret(draft) }
}

function channelTerms(chain: Chain, { quote: { payment, pricing } }: AgreedQuote, podId: Hex): ChannelTerms {
  const unlockDelay = Math.max(payment.minUnlockDelaySeconds, MIN_UNLOCK_DELAY_SECONDS)
  if (unlockDelay > MAX_UNLOCK_DELAY_ACCEPTED_SECONDS) {
    throw new TrustedPodsError(
      'CHANNEL_BAD_TERMS',
      `the provider wants the refund to wait ${unlockDelay} s, at most ${MAX_UNLOCK_DELAY_ACCEPTED_SECONDS} s are accepted`,
    )
  }
  return {
    payer: requireWallet(chain).account.address,
    voucherSigner: ZERO_ADDRESS,
    provider: toAddress(payment.provider),
    meter: toAddress(payment.meter),
    token: toAddress(pricing.token),
    ratePerHour: BigInt(payment.ratePerHour),
    unlockDelay,
    podId,
  }
}

async function open(chain: Chain, lease: LeaseOf<'opening'>, signal?: AbortSignal): Promise<Hex> {
  const { terms, deposit } = lease.channel
  try {
    return (await openOnChain(chain, terms, { deposit, signal })).transaction
  } catch (error) {
    // An earlier try of ours was mined in between: the contract lets an id be used once only.
    const isOpen = error instanceof TrustedPodsError && error.code === 'CHANNEL_IN_USE'
    if (isOpen) return await awaitOpenTransaction(chain, lease, signal)
    throw error
  }
}

/** The pending block has the opening, which an earlier run handed to a wallet: soon a block has it. */
async function awaitOpenTransaction(chain: Chain, lease: Lease, signal?: AbortSignal): Promise<Hex> {
  const until = performance.now() + MINED_TIMEOUT_MS
  for (;;) {
    const found = await findOpenTransaction(chain, lease)
    if (found) return found
    if (performance.now() > until)
      throw new TrustedPodsError('CHANNEL_NOT_FOUND', 'the opening that was sent before is not mined yet')
    await waitMs(OPENING_POLL_MS, signal ? { signal } : {})
  }
}

/** The transaction that opened the lease's channel; undefined: it is not on the chain. */
export async function findOpenTransaction(
  chain: Chain,
  { channel: { terms, sinceBlock } }: Lease,
): Promise<Hex | undefined> {
  const id = channelId(terms, chain)
  if (!(await readChannel(chain, id))) return undefined
  const read = chain.public.getContractEvents({
    address: chain.escrow,
    abi: podEscrowAbi,
    eventName: 'ChannelOpened',
    args: { id },
    fromBlock: sinceBlock,
  })
  const [event] = await fromChain('looking for the transaction that opened the channel', read)
  if (!event)
    throw new TrustedPodsError(
      'CHANNEL_RPC_UNAVAILABLE',
      'the channel is open, its opening is not in the logs of the chain',
    )
  return event.transactionHash
}
