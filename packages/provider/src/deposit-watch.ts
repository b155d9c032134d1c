/**
 * A channel that the chain no longer shows: an endpoint that lags, or a reorganisation that removed the deposit. The opening is
 * stored at admission, so that the two can be told apart and the payer's own transaction be sent again. Spec: spec/PAYMENT.md#reorganisation.
 */
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import {
  BlockNotFoundError,
  type Hex,
  hexToBytes,
  keccak256,
  serializeTransaction,
  type Transaction,
  toHex,
} from 'viem'
import type { ChannelOpening } from './pod-row.ts'

/** What the chain shows of the opening; undefined: it cannot be told, or the bytes are not the transaction's. */
export async function findOpening(chain: Chain, transaction: Hex): Promise<ChannelOpening | undefined> {
  try {
    const seen = await chain.public.getTransaction({ hash: transaction })
    if (seen.blockHash === null || seen.blockNumber === null) return undefined
    const raw = serialize(seen)
    if (keccak256(raw) !== transaction) return undefined
    return { blockNumber: seen.blockNumber, blockHash: seen.blockHash, raw: hexToBytes(raw) }
  } catch {
    // A hint of the publisher's, and an endpoint that may not keep transactions: without it nothing is sent again.
    return undefined
  }
}

/** Whether the block of the opening is on the chain no more: the endpoint has a block of this number, and it is another one. */
export async function wasReorganised(chain: Chain, { blockNumber, blockHash }: ChannelOpening): Promise<boolean> {
  try {
    const block = await chain.public.getBlock({ blockNumber })
    return block.hash !== null && block.hash.toLowerCase() !== blockHash.toLowerCase()
  } catch (error) {
    // The endpoint has not come so far.
    if (error instanceof BlockNotFoundError) return false
    return fromChain('reading the block of the opening', Promise.reject(error))
  }
}

/** Hands the payer's opening over again; a node that has it, or whose payer has gone on, refuses: what counts is the channel. */
export async function rebroadcast(chain: Chain, { raw }: ChannelOpening): Promise<void> {
  await chain.public.sendRawTransaction({ serializedTransaction: toHex(raw) }).catch(() => undefined)
}

/** The signed bytes of a transaction as nodes describe it; of an EIP-1559, EIP-2930 or legacy one. */
function serialize(seen: Transaction): Hex {
  const { r, s, v, yParity, type, to, input, nonce, gas, value, chainId } = seen
  const common = { nonce, gas, value, data: input, ...(to && { to }) }
  const signature = { r, s, ...(yParity === undefined ? { v } : { yParity, v }) }
  switch (type) {
    case 'eip1559': {
      const { maxFeePerGas, maxPriorityFeePerGas, accessList } = seen
      const fees = { maxFeePerGas, maxPriorityFeePerGas, accessList }
      return serializeTransaction({ ...common, ...fees, type, chainId: chainId ?? 0 }, signature)
    }
    case 'eip2930':
      return serializeTransaction(
        { ...common, gasPrice: seen.gasPrice, accessList: seen.accessList, type, chainId: chainId ?? 0 },
        signature,
      )
    case 'legacy':
      return serializeTransaction(
        { ...common, gasPrice: seen.gasPrice, type, ...(chainId !== undefined && { chainId }) },
        signature,
      )
    case 'eip4844':
    case 'eip7702':
      return '0x'
    default:
      return '0x'
  }
}
