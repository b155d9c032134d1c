/** A token's EIP-2612 permit: an approval by signature, so that approving and paying are one transaction. */
import { type Address, domainSeparator, type Hex, parseSignature, type TypedDataDomain } from 'viem'
import { toCallError } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import { testTokenAbi } from './gen/test-token.ts'

export interface PermitRequest {
  readonly token: Address
  readonly spender: Address
  /** Base units. */
  readonly amount: bigint
}

export interface Permit {
  /** The token's nonce of the owner that it uses up. */
  readonly nonce: bigint
  /** Unix seconds. */
  readonly deadline: bigint
  readonly v: number
  readonly r: Hex
  readonly s: Hex
}

export const PERMIT_TYPES = {
  Permit: [
    { name: 'owner', type: 'address' },
    { name: 'spender', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'nonce', type: 'uint256' },
    { name: 'deadline', type: 'uint256' },
  ],
} as const

/** An hour of the chain's own time: longer than any transaction of ours waits. */
const PERMIT_SECONDS = 3600n

/**
 * The wallet's permit; undefined when the token has none, or one whose domain cannot be proven by its DOMAIN_SEPARATOR.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE: not knowing is not "has none".
 */
export async function signPermit(
  node: ChainNode,
  { token, spender, amount }: PermitRequest,
): Promise<Permit | undefined> {
  const { account } = requireWallet(node)
  const owner = account.address
  const domain = await tokenDomain(node, token)
  const nonce = await permitNonce(node, token)
  if (domain === undefined || nonce === undefined) return undefined
  const { timestamp } = await node.public.getBlock()
  const deadline = timestamp + PERMIT_SECONDS
  const message = { owner, spender, value: amount, nonce, deadline }
  const signed = await account.signTypedData({ domain, types: PERMIT_TYPES, primaryType: 'Permit', message })
  const { r, s, yParity } = parseSignature(signed)
  return { nonce, deadline, v: 27 + yParity, r, s }
}

/** At the pending block: what the account sends is mined in the order of its nonces, so an earlier permit is used before ours. */
export function permitNonce(node: ChainNode, token: Address): Promise<bigint | undefined> {
  const args = [requireWallet(node).account.address] as const
  const call = { address: token, abi: testTokenAbi, functionName: 'nonces', args, blockTag: 'pending' } as const
  return orAbsent(node.public.readContract(call))
}

/** Whether the wallet can approve by signature. */
export async function hasPermit(node: ChainNode, token: Address): Promise<boolean> {
  return (await permitNonce(node, token)) !== undefined && (await tokenDomain(node, token)) !== undefined
}

/** The EIP-712 domain of a token: by EIP-5267, else by name and version "1"; either is taken only when it hashes to the token's own separator. */
export async function tokenDomain(node: ChainNode, token: Address): Promise<TypedDataDomain | undefined> {
  const contract = { address: token, abi: testTokenAbi } as const
  const [separator, described, name] = await Promise.all([
    orAbsent(node.public.readContract({ ...contract, functionName: 'DOMAIN_SEPARATOR' })),
    orAbsent(node.public.readContract({ ...contract, functionName: 'eip712Domain' })),
    orAbsent(node.public.readContract({ ...contract, functionName: 'name' })),
  ])
  const place = { chainId: BigInt(node.chainId), verifyingContract: token }
  const candidates: TypedDataDomain[] =
    described === undefined ? [] : [{ name: described[1], version: described[2], ...place }]
  // USDC says "2" and has no eip712Domain().
  if (name !== undefined) candidates.push({ name, version: '1', ...place }, { name, version: '2', ...place })
  return candidates.find((domain) => domainSeparator({ domain }) === separator)
}

export async function orAbsent<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw toCallError('reading the token', error, testTokenAbi)
  }
}

/** The function reverted or answered nothing: the token has no such function. */
function isAbsent(error: unknown): boolean {
  const names = ['ContractFunctionRevertedError', 'ContractFunctionZeroDataError', 'AbiDecodingZeroDataError']
  for (let e: unknown = error; e instanceof Error; e = e.cause) if (names.includes(e.name)) return true
  return false
}
