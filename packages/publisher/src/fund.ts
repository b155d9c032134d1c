/**
 * Puts more money into the channel of a lease: by a transaction of our own, or by what is signed here and sent by the provider where
 * the account has no gas. Spec: spec/PAYMENT.md#funds, #relay.
 */

import type { Libp2p } from '@libp2p/interface'
import { fromHex, toHex } from '@trusted-pods/protocol/bytes.ts'
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import {
  canAuthorize,
  depositCall,
  isExpired,
  isUsed,
  signDeposit,
} from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { topUp, topUpIntent } from '@trusted-pods/protocol/chain/escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { isUnderWay, transact } from '@trusted-pods/protocol/chain/transact.ts'
import { type TransferAuthorization, toProtoFunding } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { FundRequestSchema, FundResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { request } from '@trusted-pods/protocol/wire/exchange.ts'
import { FUND } from '@trusted-pods/protocol/wire/protocols.ts'
import { throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Address, Hex } from 'viem'
import { requirePayer } from './channel.ts'
import { dial } from './dial.ts'
import { type FundingChoice, gasCoin } from './funding.ts'
import type { Lease, LeaseStore } from './lease.ts'
import { whileLost } from './reconnect.ts'
import type { Relocate } from './relocate.ts'
import { channelOf, notShown } from './settle.ts'
import { waitMs } from './wait.ts'

/** An endpoint a block or two behind the provider's. */
const SEEN_MS = 20_000
const SEEN_POLL_MS = 500

export interface FundLeaseOptions {
  /** Base units to add. */
  readonly amount: bigint
  readonly leases: LeaseStore
  /** Reaches the provider; without it we send the top-up ourselves, whatever it costs. */
  readonly node?: Libp2p
  readonly funding?: FundingChoice
  /** Where the provider is now, when it does not answer where it was. */
  readonly relocate?: Relocate
  readonly signal?: AbortSignal
}

export interface Funded {
  /** With the deposit as the chain has it now. */
  readonly lease: Lease
  /** Absent: it came in, and which transaction brought it is not known. */
  readonly transaction?: Hex
  /** An earlier run had sent the same: nothing was added now. */
  readonly isEarlier: boolean
  /** The provider has sent it at its cost. */
  readonly isRelayed: boolean
}

/**
 * @throws TrustedPodsError STATUS_NOT_RUNNING for a lease that closes or has ended, CHANNEL_CLOSING, CHANNEL_NO_FUNDS; as
 * `transact`: the top-up is then kept, and asked for again it is not paid twice. The same holds for one that was signed for the
 * provider: with remote, its refusal.
 */
export async function fundLease(chain: Chain, lease: Lease, options: FundLeaseOptions): Promise<Funded> {
  if (lease.kind === 'closing' || lease.kind === 'ended')
    throw new TrustedPodsError('STATUS_NOT_RUNNING', `the lease is ${lease.kind}: it takes no more funds`)
  requirePayer(chain, lease)
  const before = await channelOf(chain, lease)
  if (!before) throw notShown(lease)
  if (before.closed || before.closeAt !== 0)
    throw new TrustedPodsError('CHANNEL_CLOSING', 'the channel is closed or about to be: it takes no more funds')
  const added = await add(chain, lease, options)
  const state = await channelOf(chain, lease)
  const counted = before.deposited + (added.isEarlier ? 0n : options.amount)
  const deposit = state && state.deposited > before.deposited ? state.deposited : counted
  const { topUp: _, ...channel } = lease.channel
  const funded = { ...lease, channel: { ...channel, deposit } }
  await options.leases.save(funded)
  return { lease: funded, ...added }
}

type Added = Omit<Funded, 'lease'>

async function add(chain: Chain, lease: Lease, options: FundLeaseOptions): Promise<Added> {
  const { amount, node, signal } = options
  const { terms } = lease.channel
  const signed = await stillSigned(chain, lease, amount)
  if (signed === 'used') return { isEarlier: true, isRelayed: true }
  // What we have handed in ourselves may still be mined: one that the provider sends beside it would come in on top.
  const isOwn = await isUnderWay(chain, topUpIntent(chain, terms, amount))
  const isRelayed = node !== undefined && !isOwn && (await shouldRelay(chain, options.funding))
  if (isRelayed) return await addByProvider(chain, { lease, signed, node }, options)
  // What the provider may still send must not come in beside another sum.
  const single = signed ?? (await signForWallet(chain, lease, options))
  const { transaction, isEarlier } = single
    ? await transact(chain, depositCall(chain, terms, single), { signal })
    : await topUp(chain, terms, { deposit: amount, signal })
  return { transaction, isEarlier: isEarlier === true, isRelayed: false }
}

/**
 * A signer that sends by itself has no outbox: a deposit with a nonce of its own, stored before, is paid in once however often it is
 * asked for. Undefined: the wallet has an outbox, or the token knows no such thing.
 * @throws TrustedPodsError CHANNEL_IN_USE where a top-up that was asked for before may still be under way.
 */
async function signForWallet(
  chain: Chain,
  lease: Lease,
  { amount, leases }: FundLeaseOptions,
): Promise<TransferAuthorization | undefined> {
  if (!requireWallet(chain).external) return undefined
  const { terms } = lease.channel
  await requireTokens(chain, lease, amount)
  if (!(await canAuthorize(chain, terms.token))) {
    await requireNothingUnderWay(chain, terms.payer)
    return undefined
  }
  const authorization = await signDeposit(chain, terms, { amount })
  await leases.save({ ...lease, channel: { ...lease.channel, topUp: authorization } })
  return authorization
}

async function requireNothingUnderWay(chain: Chain, address: Address): Promise<void> {
  const count = (blockTag: 'latest' | 'pending') =>
    fromChain('reading the nonce', chain.public.getTransactionCount({ address, blockTag }))
  const [latest, pending] = await Promise.all([count('latest'), count('pending')])
  if (pending <= latest) return
  throw new TrustedPodsError(
    'CHANNEL_IN_USE',
    `${pending - latest} transactions of ${address} are not mined yet, and one may be this top-up: ask again once they are`,
  )
}

/**
 * What an earlier run has signed and somebody may still send.
 * @throws TrustedPodsError CHANNEL_IN_USE when that is another sum.
 */
async function stillSigned(
  chain: Chain,
  { channel: { topUp: signed, terms } }: Lease,
  amount: bigint,
): Promise<TransferAuthorization | 'used' | undefined> {
  if (signed === undefined) return undefined
  const isOver = await isExpired(chain, signed)
  const isSame = signed.amount === amount
  // Asked after its end: nothing comes in behind this answer.
  if (await isUsed(chain, terms, signed)) return isSame ? 'used' : undefined
  if (isOver) return undefined
  if (isSame) return signed
  const until = new Date(Number(signed.validBefore) * 1000).toISOString()
  throw new TrustedPodsError(
    'CHANNEL_IN_USE',
    `a top-up of ${signed.amount} base units was signed before and can be sent until ${until}: ask for that sum, or again then`,
  )
}

async function shouldRelay(chain: Chain, choice: FundingChoice = 'auto'): Promise<boolean> {
  if (choice !== 'auto') return choice === 'relayed'
  const { have, need } = await gasCoin(chain)
  return have < need
}

/** Signed and stored before the provider has it; asked for again it is the same one, which works once. */
async function addByProvider(
  chain: Chain,
  { lease, signed, node }: { lease: Lease; signed: TransferAuthorization | undefined; node: Libp2p },
  { amount, leases, relocate, signal }: FundLeaseOptions,
): Promise<Added> {
  const { terms } = lease.channel
  await requireTokens(chain, lease, amount)
  const authorization = signed ?? (await signDeposit(chain, terms, { amount }))
  await leases.save({ ...lease, channel: { ...lease.channel, topUp: authorization } })
  const options = signal ? { signal } : {}
  const message = { podId: fromHex(lease.id) ?? new Uint8Array(), funding: toProtoFunding(authorization) }
  const ask = { request: FundRequestSchema, message, response: FundResponseSchema }
  const { result } = await whileLost(async () => {
    await using peer = await dial(node, lease.provider, { ...(relocate && { relocate }), ...options })
    return await request(peer.connection, FUND, ask, options)
  }, options)
  if (result.case === 'refusal') throwRefusal(result.value)
  await requireSeen(chain, lease, { authorization, ...options })
  const transaction: Hex | undefined = result.value?.length === 32 ? `0x${toHex(result.value)}` : undefined
  return { ...(transaction && { transaction }), isEarlier: false, isRelayed: true }
}

/** @throws TrustedPodsError CHANNEL_NO_FUNDS before anything is signed. */
async function requireTokens(chain: Chain, { channel: { terms } }: Lease, amount: bigint): Promise<void> {
  const balance = await tokenBalance(chain, { token: terms.token, account: terms.payer })
  if (balance >= amount) return
  throw new TrustedPodsError(
    'CHANNEL_NO_FUNDS',
    `${terms.payer} has ${balance} base units of token ${terms.token}, the top-up is ${amount}`,
  )
}

/** The provider has seen the block that our endpoint may still lack. @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE. */
async function requireSeen(
  chain: Chain,
  { channel: { terms } }: Lease,
  { authorization, ...options }: { authorization: TransferAuthorization; signal?: AbortSignal },
): Promise<void> {
  const until = performance.now() + SEEN_MS
  while (!(await isUsed(chain, terms, authorization))) {
    if (performance.now() > until)
      throw new TrustedPodsError(
        'CHANNEL_RPC_UNAVAILABLE',
        'the provider says that the top-up came in, our endpoint does not show it yet: ask again, it is not paid twice',
      )
    await waitMs(SEEN_POLL_MS, options)
  }
}
