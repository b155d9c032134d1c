/**
 * Gets back all of an account's money, with nothing but its key and the chain: for providers that are gone, and for leases whose
 * records are lost. Spec: spec/PAYMENT.md#recovery.
 */
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { credit, finalizeClose, readChannels, requestClose, withdraw } from '@trusted-pods/protocol/chain/escrow.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import { readLogs } from '@trusted-pods/protocol/chain/logs.ts'
import type { ChannelState } from '@trusted-pods/protocol/channel/check-channel.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { type Address, getAbiItem, type Hex } from 'viem'

export interface WithdrawAllOptions {
  /** Tokens whose credit is taken out; those of the channels found are too. */
  readonly tokens: readonly Address[]
  /** Where the escrow's events begin. */
  readonly fromBlock?: bigint
  /** Whether a channel that is open is to be closed too. */
  shouldClose(channel: OwnChannel): boolean
  /** What is going on, for people. */
  readonly report?: (text: string) => void
  readonly signal?: AbortSignal
}

export interface OwnChannel {
  readonly id: Hex
  readonly terms: ChannelTerms
  readonly state: ChannelState
}

export interface Withdrawn {
  /** By token, base units. */
  readonly withdrawn: readonly { readonly token: Address; readonly amount: bigint; readonly transaction: Hex }[]
  /** Channels that were closed now. */
  readonly finalised: readonly OwnChannel[]
  /** Channels whose refund is due later. */
  readonly waiting: readonly { readonly channel: OwnChannel; readonly closeAt: Date }[]
  /** Channels that were left open. */
  readonly open: readonly OwnChannel[]
}

/** Every channel that the wallet's account has opened, closed ones left out; the terms are in the events, so no record is needed. */
export async function findOwnChannels(
  chain: Chain,
  { fromBlock = 0n }: { fromBlock?: bigint } = {},
): Promise<OwnChannel[]> {
  const { address } = requireWallet(chain).account
  const toBlock = await fromChain('reading the block number', chain.public.getBlockNumber())
  const event = getAbiItem({ abi: podEscrowAbi, name: 'ChannelOpened' })
  const logs = await readLogs(chain, { address: chain.escrow, event, args: { payer: address }, fromBlock, toBlock })
  const opened = new Map(
    logs.flatMap(({ args: { terms } }) => (terms ? [[channelId(terms, chain), terms] as const] : [])),
  )
  const states = await readChannels(chain, [...opened.keys()])
  return [...opened].flatMap(([id, terms]) => {
    const state = states.get(id)
    return state && !state.closed ? [{ id, terms, state }] : []
  })
}

/** Safe to repeat: each step is looked up before it is taken. */
export async function withdrawAll(chain: Chain, options: WithdrawAllOptions): Promise<Withdrawn> {
  const { tokens, fromBlock = 0n, shouldClose, report = () => {}, signal } = options
  const found = await findOwnChannels(chain, { fromBlock })
  const result: { finalised: OwnChannel[]; waiting: Withdrawn['waiting'][number][]; open: OwnChannel[] } = {
    finalised: [],
    waiting: [],
    open: [],
  }
  for (const channel of found) {
    const closeAt = await closeTime(chain, channel, { shouldClose, report, signal })
    if (closeAt === undefined) result.open.push(channel)
    else if ((await chainSeconds(chain)) < closeAt) result.waiting.push({ channel, closeAt: new Date(closeAt * 1000) })
    else {
      report(`channel ${channel.id.slice(0, 14)}: its delay is over, finalising the close`)
      await finalizeClose(chain, channel.terms, { signal })
      result.finalised.push(channel)
    }
  }
  const all = [...new Set([...tokens, ...found.map(({ terms }) => terms.token)])]
  return { ...result, withdrawn: await takeCredit(chain, all, signal) }
}

/** When the channel's refund is due, Unix seconds; undefined: it stays open. */
async function closeTime(
  chain: Chain,
  channel: OwnChannel,
  {
    shouldClose,
    report,
    signal,
  }: Pick<WithdrawAllOptions, 'shouldClose'> & { report: (text: string) => void; signal: AbortSignal | undefined },
): Promise<number | undefined> {
  if (channel.state.closeAt !== 0) return channel.state.closeAt
  if (!shouldClose(channel)) return undefined
  report(`channel ${channel.id.slice(0, 14)}: requesting the close`)
  await requestClose(chain, channel.terms, { signal })
  const state = (await readChannels(chain, [channel.id])).get(channel.id)
  // Just mined at an endpoint that lags by now: the delay is known without it.
  return state?.closeAt || (await chainSeconds(chain)) + channel.terms.unlockDelay
}

async function takeCredit(
  chain: Chain,
  tokens: readonly Address[],
  signal: AbortSignal | undefined,
): Promise<Withdrawn['withdrawn'][number][]> {
  const { address: account } = requireWallet(chain).account
  const taken: Withdrawn['withdrawn'][number][] = []
  for (const token of tokens) {
    const amount = await credit(chain, { account, token })
    if (amount === 0n) continue
    const { transaction } = await withdraw(chain, { token, amount, signal })
    taken.push({ token, amount, transaction })
  }
  return taken
}

/** Unix seconds of the pending block. */
async function chainSeconds(chain: Chain): Promise<number> {
  const { timestamp } = await fromChain('reading the time of the chain', chain.public.getBlock({ blockTag: 'pending' }))
  return Number(timestamp)
}
