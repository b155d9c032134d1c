/** The ERC-20 token that channels are paid in. Reads and transactions; spec/PAYMENT.md#token. */
import { type Address, encodeFunctionData } from 'viem'
import { fromChain } from './chain-error.ts'
import type { ChainNode } from './client.ts'
import { testTokenAbi } from './gen/test-token.ts'
import { type Mined, type TransactOptions, transact } from './transact.ts'

export interface TokenMetadata {
  readonly address: Address
  readonly decimals: number
  readonly symbol: string
}

/** Base units that an account holds. */
export function tokenBalance(
  node: ChainNode,
  { token, account }: { token: Address; account: Address },
): Promise<bigint> {
  const read = node.public.readContract({
    address: token,
    abi: testTokenAbi,
    functionName: 'balanceOf',
    args: [account],
  })
  return fromChain('reading a token balance', read)
}

export async function tokenMetadata(node: ChainNode, token: Address): Promise<TokenMetadata> {
  const [decimals, symbol] = await Promise.all([
    fromChain(
      'reading the decimals',
      node.public.readContract({ address: token, abi: testTokenAbi, functionName: 'decimals' }),
    ),
    fromChain(
      'reading the symbol',
      node.public.readContract({ address: token, abi: testTokenAbi, functionName: 'symbol' }),
    ),
  ])
  return { address: token, decimals, symbol }
}

export interface Allowance {
  readonly token: Address
  readonly owner: Address
  readonly spender: Address
}

/** Base units that `spender` may take from `owner`. */
export function tokenAllowance(node: ChainNode, { token, owner, spender }: Allowance): Promise<bigint> {
  const read = node.public.readContract({
    address: token,
    abi: testTokenAbi,
    functionName: 'allowance',
    args: [owner, spender],
  })
  return fromChain('reading an allowance', read)
}

export interface TokenTransfer extends TransactOptions {
  readonly token: Address
  readonly to: Address
  /** Base units. */
  readonly amount: bigint
}

/** Lets `to` take `amount` of the wallet's tokens. */
export function approveToken(node: ChainNode, { token, to, amount, signal }: TokenTransfer): Promise<Mined> {
  const data = encodeFunctionData({ abi: testTokenAbi, functionName: 'approve', args: [to, amount] })
  return transact(node, { to: token, data, abi: testTokenAbi, what: 'approving the escrow' }, { signal })
}

/** Makes money on a development chain; a real token refuses it. */
export function mintTestToken(node: ChainNode, { token, to, amount, signal }: TokenTransfer): Promise<Mined> {
  const data = encodeFunctionData({ abi: testTokenAbi, functionName: 'mint', args: [to, amount] })
  return transact(node, { to: token, data, abi: testTokenAbi, what: 'minting test tokens' }, { signal })
}
