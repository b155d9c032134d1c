/**
 * The escrow contract: opening, claiming and closing of channels. Each transaction is simulated first and awaited; what the contract
 * refuses comes as a closed code. Spec: spec/PAYMENT.md#escrow.
 */
import { type Address, decodeFunctionResult, encodeFunctionData, type Hex } from 'viem'
import { toHex } from '../bytes.ts'
import type { ChannelState } from '../channel/check-channel.ts'
import type { SignedClose } from '../channel/close.ts'
import { type ChannelTerms, channelId } from '../channel/terms.ts'
import type { Voucher } from '../channel/voucher.ts'
import { TrustedPodsError } from '../errors.ts'
import type { Receipt } from '../gen/trustedpods/v0/payment_pb.ts'
import { fromChain } from './chain-error.ts'
import { encodeClaimBatch } from './claim-batch.ts'
import { type Chain, requireWallet } from './client.ts'
import { encodeMulticall, send } from './escrow-call.ts'
import { podEscrowAbi } from './gen/pod-escrow.ts'
import { pay } from './pay-deposit.ts'
import type { Mined, TransactOptions } from './transact.ts'

export interface DepositOptions extends TransactOptions {
  /** Base units of the terms' token. */
  readonly deposit: bigint
}

/** What an opening is called in the outbox, in whatever way it pays. */
export function openIntent(chain: Chain, terms: ChannelTerms): string {
  return `open ${channelId(terms, chain)}`
}

export function topUpIntent(chain: Chain, terms: ChannelTerms, deposit: bigint): string {
  return `top up ${channelId(terms, chain)} by ${deposit}`
}

/** Opens a channel with the payer's tokens; its id is `channelId(terms, chain)`. */
export async function openChannel(
  chain: Chain,
  terms: ChannelTerms,
  { deposit, signal }: DepositOptions,
): Promise<Mined> {
  const open = encodeFunctionData({ abi: podEscrowAbi, functionName: 'open', args: [terms, deposit] })
  return await pay(chain, {
    token: terms.token,
    amount: deposit,
    call: open,
    what: 'opening the channel',
    intent: openIntent(chain, terms),
    signal,
  })
}

/** Adds the wallet's tokens to an open channel. */
export async function topUp(chain: Chain, terms: ChannelTerms, { deposit, signal }: DepositOptions): Promise<Mined> {
  const add = encodeFunctionData({ abi: podEscrowAbi, functionName: 'topUp', args: [terms, deposit] })
  return await pay(chain, {
    token: terms.token,
    amount: deposit,
    call: add,
    what: 'topping up the channel',
    intent: topUpIntent(chain, terms, deposit),
    signal,
  })
}

/** The channel as of the latest block; undefined when it was never opened. */
export async function readChannel(chain: Chain, id: Hex): Promise<ChannelState | undefined> {
  const read = chain.public.readContract({
    address: chain.escrow,
    abi: podEscrowAbi,
    functionName: 'channels',
    args: [id],
  })
  const channel = await fromChain('reading the channel', read)
  return channel.openedAt === 0 ? undefined : channel
}

/** Channels that one call asks for: some 6,000 gas each, far below what nodes give to a call. */
const CHANNELS_PER_CALL = 500

/** Many channels as of one block or later, in few calls; undefined where one was never opened. */
export async function readChannels(
  chain: Chain,
  ids: readonly Hex[],
  { blockTag = 'latest' }: { blockTag?: 'latest' | 'safe' | 'finalized' } = {},
): Promise<Map<Hex, ChannelState | undefined>> {
  const states = new Map<Hex, ChannelState | undefined>()
  for (let at = 0; at < ids.length; at += CHANNELS_PER_CALL) {
    const part = ids.slice(at, at + CHANNELS_PER_CALL)
    const calls = part.map((id) => encodeFunctionData({ abi: podEscrowAbi, functionName: 'channels', args: [id] }))
    const call = {
      address: chain.escrow,
      abi: podEscrowAbi,
      functionName: 'multicall',
      args: [calls],
      blockTag,
    } as const
    const { result } = await fromChain('reading the channels', chain.public.simulateContract(call))
    for (const [i, id] of part.entries()) {
      const state = decodeFunctionResult({ abi: podEscrowAbi, functionName: 'channels', data: result[i] ?? '0x' })
      states.set(id, state.openedAt === 0 ? undefined : state)
    }
  }
  return states
}

/** What receipts may have claimed in all at the pending block, base units; 0 for a channel never opened. */
export function accruedCap(chain: Chain, terms: ChannelTerms): Promise<bigint> {
  const call = {
    address: chain.escrow,
    abi: podEscrowAbi,
    functionName: 'accruedCap',
    args: [terms],
    blockTag: 'pending',
  } as const
  return fromChain('reading the cap', chain.public.readContract(call))
}

/** Base units that an account may withdraw. */
export function credit(chain: Chain, { account, token }: { account: Address; token: Address }): Promise<bigint> {
  const call = { address: chain.escrow, abi: podEscrowAbi, functionName: 'credit', args: [account, token] } as const
  return fromChain('reading the credit', chain.public.readContract(call))
}

/** Credits the provider by a receipt of the meter; anyone may send it. */
export function claim(
  chain: Chain,
  terms: ChannelTerms,
  { receipt, signal }: TransactOptions & { receipt: Receipt },
): Promise<Mined> {
  return send(chain, encodeClaim(terms, receipt), { what: 'claiming', signal })
}

/** Credits the provider by a voucher of the payer; anyone may send it. */
export function redeem(
  chain: Chain,
  terms: ChannelTerms,
  { voucher, signal }: TransactOptions & { voucher: Voucher },
): Promise<Mined> {
  const args = [terms, voucher.cumulative, hex(voucher.signature)] as const
  return send(chain, encodeFunctionData({ abi: podEscrowAbi, functionName: 'redeem', args }), {
    what: 'redeeming a voucher',
    signal,
  })
}

export interface LetGoOptions extends TransactOptions {
  /** A last receipt to claim; at most the cap, or the whole transaction fails. */
  readonly receipt?: Receipt
  /** Sends the payer's refund to its wallet too; left out where the token refuses that. */
  readonly payOut?: boolean
}

/**
 * The provider closes at once, after a last claim in the same transaction; the rest goes to the payer's credit. A receipt that brings
 * nothing new is passed over, so that a stranger who claimed it first cannot hold up the close.
 */
export async function settleClose(
  chain: Chain,
  terms: ChannelTerms,
  { receipt, payOut = false, signal }: LetGoOptions = {},
): Promise<Mined> {
  const cumulative = receipt === undefined ? 0n : BigInt(receipt.cumulative)
  const settle = encodeSettle(terms, { cumulative, deadline: 0n, signature: new Uint8Array() })
  const calls = receipt === undefined ? [settle] : [encodeClaimBatch([{ terms, receipt }]), settle]
  const what = receipt === undefined ? 'closing the channel' : 'claiming and closing the channel'
  if (payOut) {
    const args = [terms.payer, terms.token] as const
    const withRefund = [...calls, encodeFunctionData({ abi: podEscrowAbi, functionName: 'withdrawFor', args })]
    const sent = await unlessRefused(send(chain, encodeMulticall(withRefund), { what, signal }))
    if (sent) return sent
  }
  const [only] = calls
  return await send(chain, calls.length === 1 && only ? only : encodeMulticall(calls), { what, signal })
}

/** A refund that cannot be sent, to an account that the token blocks or of nothing, must not hold up the close. */
async function unlessRefused(sending: Promise<Mined>): Promise<Mined | undefined> {
  try {
    return await sending
  } catch (error) {
    if (error instanceof TrustedPodsError && error.code !== 'CHANNEL_RPC_UNAVAILABLE') return undefined
    throw error
  }
}

/** The payer closes at once with the provider's signed agreement. */
export function settleByAgreement(
  chain: Chain,
  terms: ChannelTerms,
  { close, signal }: TransactOptions & { close: SignedClose },
): Promise<Mined> {
  return send(chain, encodeSettle(terms, close), { what: 'closing the channel', signal })
}

/** The payer asks to close; the refund is due after the unlock delay. */
export function requestClose(chain: Chain, terms: ChannelTerms, { signal }: TransactOptions = {}): Promise<Mined> {
  const data = encodeFunctionData({ abi: podEscrowAbi, functionName: 'requestClose', args: [terms] })
  return send(chain, data, { what: 'requesting the close', signal })
}

/** Ends a channel whose unlock delay is over; anyone may. The rest goes to the payer's credit. */
export function finalizeClose(chain: Chain, terms: ChannelTerms, { signal }: TransactOptions = {}): Promise<Mined> {
  const data = encodeFunctionData({ abi: podEscrowAbi, functionName: 'finalizeClose', args: [terms] })
  return send(chain, data, { what: 'finalising the close', signal })
}

export interface WithdrawOptions extends TransactOptions {
  readonly token: Address
  /** The wallet's own account by default. */
  readonly to?: Address
  /** Base units; all of the credit by default. */
  readonly amount?: bigint
}

/** Moves the wallet's credit out of the escrow. */
export function withdraw(chain: Chain, { token, to, amount = 0n, signal }: WithdrawOptions): Promise<Mined> {
  const args = [token, to ?? requireWallet(chain).account.address, amount] as const
  return send(chain, encodeFunctionData({ abi: podEscrowAbi, functionName: 'withdraw', args }), {
    what: 'withdrawing',
    signal,
  })
}

function encodeClaim(terms: ChannelTerms, receipt: Receipt): Hex {
  const args = [terms, BigInt(receipt.cumulative), hex(receipt.usageHash), hex(receipt.signature)] as const
  return encodeFunctionData({ abi: podEscrowAbi, functionName: 'claim', args })
}

function encodeSettle(terms: ChannelTerms, { cumulative, deadline, signature }: SignedClose): Hex {
  return encodeFunctionData({
    abi: podEscrowAbi,
    functionName: 'settleClose',
    args: [terms, cumulative, deadline, hex(signature)],
  })
}

function hex(bytes: Uint8Array): Hex {
  return `0x${toHex(bytes)}`
}
