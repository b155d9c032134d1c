/**
 * Claims of many channels in one transaction. The contract takes all of a batch or nothing, so those that it would refuse are found
 * first, by halving, and left out. Spec: spec/PAYMENT.md#batches.
 */
import { encodeFunctionData, type Hex } from 'viem'
import { toHex } from '../bytes.ts'
import type { ChannelTerms } from '../channel/terms.ts'
import type { TrustedPodsError } from '../errors.ts'
import type { Receipt } from '../gen/trustedpods/v0/payment_pb.ts'
import { toCallError } from './chain-error.ts'
import { type Chain, requireWallet } from './client.ts'
import { podEscrowAbi } from './gen/pod-escrow.ts'
import { type Mined, type TransactOptions, transact } from './transact.ts'

export interface ClaimItem {
  readonly terms: ChannelTerms
  readonly receipt: Receipt
}

export interface RefusedClaim<Item extends ClaimItem> {
  readonly item: Item
  /** What the contract said of it alone. */
  readonly error: TrustedPodsError
}

/** 51 KB of call data, and some 2.5 M gas: far below the 128 KiB and the block that nodes take. */
export const MAX_BATCH = 100

/** One name for all batches: one that an earlier process left on its way is waited for, before another is made. */
const INTENT = 'claims of several channels'

/** Credits the provider by receipts of several channels; those that bring nothing new, or are closed, are passed over. */
export function claimBatch(chain: Chain, items: readonly ClaimItem[], options: TransactOptions = {}): Promise<Mined> {
  const call = { to: chain.escrow, data: encodeClaimBatch(items), abi: podEscrowAbi }
  return transact(chain, { ...call, what: `claiming ${items.length} channels`, intent: INTENT }, options)
}

export function encodeClaimBatch(items: readonly ClaimItem[]): Hex {
  const args = items.map(({ terms, receipt }) => ({
    terms,
    cumulative: BigInt(receipt.cumulative),
    usageHash: hex(receipt.usageHash),
    meterSig: hex(receipt.signature),
  }))
  return encodeFunctionData({ abi: podEscrowAbi, functionName: 'claimBatch', args: [args] })
}

/**
 * Which of them the contract would refuse at the pending block; a handful of calls where few are.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when that is not known.
 */
export async function findRefused<Item extends ClaimItem>(
  chain: Chain,
  items: readonly Item[],
): Promise<RefusedClaim<Item>[]> {
  const error = await simulate(chain, items)
  if (!error) return []
  const [only] = items
  if (items.length === 1 && only) return [{ item: only, error }]
  const half = Math.ceil(items.length / 2)
  return [...(await findRefused(chain, items.slice(0, half))), ...(await findRefused(chain, items.slice(half)))]
}

async function simulate(chain: Chain, items: readonly ClaimItem[]): Promise<TrustedPodsError | undefined> {
  if (items.length === 0) return undefined
  const { address: account } = requireWallet(chain).account
  try {
    await chain.public.call({ account, to: chain.escrow, data: encodeClaimBatch(items), blockTag: 'pending' })
    return undefined
  } catch (cause) {
    const error = toCallError('claiming', cause, podEscrowAbi)
    if (error.code === 'CHANNEL_RPC_UNAVAILABLE') throw error
    return error
  }
}

function hex(bytes: Uint8Array): Hex {
  return `0x${toHex(bytes)}`
}
