/**
 * The opening of a lease's channel, remembered so that a reorganisation that removed it can be told from an endpoint that lags, and
 * the lease be ended for good. Spec: spec/PAYMENT.md#reorganisation.
 */
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import { transact } from '@trusted-pods/protocol/chain/transact.ts'
import { type Address, BlockNotFoundError, type Hex, isAddressEqual, TransactionNotFoundError } from 'viem'

export interface ChannelOpening {
  readonly transaction: Hex
  readonly blockNumber: bigint
  readonly blockHash: Hex
  /** The payer's nonce that it used; absent: somebody else has sent it. */
  readonly nonce?: number
}

/** What the chain shows of a transaction that is mined; undefined: nothing, and then nothing is ever concluded from it. */
export async function findOpening(
  chain: Chain,
  transaction: Hex,
  { payer }: { payer: Address },
): Promise<ChannelOpening | undefined> {
  try {
    const { blockNumber, blockHash, nonce, from } = await chain.public.getTransaction({ hash: transaction })
    if (blockNumber === null || blockHash === null) return undefined
    return { transaction, blockNumber, blockHash, ...(isAddressEqual(from, payer) && { nonce }) }
  } catch {
    // The lease goes on without: only a reorganisation would have to be waited out.
    return undefined
  }
}

/** The block of the opening is another one by now, and no node has the transaction. @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE. */
export async function isRemoved(
  chain: Chain,
  { transaction, blockNumber, blockHash }: ChannelOpening,
): Promise<boolean> {
  const block = await orAbsent(chain.public.getBlock({ blockNumber }))
  if (block === undefined || block.hash === blockHash) return false
  return (await orAbsent(chain.public.getTransaction({ hash: transaction }))) === undefined
}

/** Uses up the nonce of a removed opening, so that nobody who kept it can open the channel later. */
export async function makeVoid(
  chain: Chain,
  { nonce }: { readonly nonce: number },
  signal?: AbortSignal,
): Promise<void> {
  const { address } = requireWallet(chain).account
  const used = () => fromChain('reading the nonce', chain.public.getTransactionCount({ address, blockTag: 'latest' }))
  while ((await used()) <= nonce) {
    const call = { to: address, data: '0x', abi: podEscrowAbi, what: 'making the removed opening void' } as const
    await transact(chain, call, { signal })
  }
}

async function orAbsent<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read
  } catch (error) {
    if (error instanceof BlockNotFoundError || error instanceof TransactionNotFoundError) return undefined
    return fromChain('looking for the opening', Promise.reject(error))
  }
}
