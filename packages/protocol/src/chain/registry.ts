/** The registry contract: announcing and leaving as a provider, paging through the rows. Spec: spec/REGISTRY.md#contract. */
import { type Address, encodeFunctionData, type Hex, hexToBytes, parseAbiItem } from 'viem'
import { toHex } from '../bytes.ts'
import { fromChain } from './chain-error.ts'
import { type Chain, requireWallet } from './client.ts'
import { providerRegistryAbi } from './gen/provider-registry.ts'
import { approveToken, tokenAllowance } from './token.ts'
import { type Mined, type TransactOptions, transact } from './transact.ts'

/** A provider's row as the contract holds it. */
export interface RegistryEntry {
  readonly provider: Address
  /** SHA-256 of the record. */
  readonly digest: Hex
  /** Announcements ever made by this account. */
  readonly seq: number
  /** Block of the last announcement, whose event holds the record. */
  readonly updatedBlock: bigint
  /** Unix seconds from which it may leave; 0: it does not want to. */
  readonly exitAt: number
  /** Base units of the bond token. */
  readonly bond: bigint
  /** Multicodec of the record: 0x55 raw, 0x71 dag-cbor. */
  readonly codec: number
}

const PROVIDER_UPDATED = parseAbiItem(
  'event ProviderUpdated(address indexed provider, uint32 indexed seq, bytes32 digest, uint8 codec, uint96 bond, bytes record)',
)

/** Lists the wallet's account or updates its row; pays the bond with the first announcement where the registry asks for one. */
export async function announce(chain: Chain, record: Uint8Array, { signal }: TransactOptions = {}): Promise<Mined> {
  await approveBond(chain, { signal })
  const data = encodeFunctionData({ abi: providerRegistryAbi, functionName: 'announce', args: [`0x${toHex(record)}`] })
  return await send(chain, data, { what: 'announcing the provider', signal })
}

/** Says that the wallet's account leaves; its row stays until `removeProvider`. */
export function exitRegistry(chain: Chain, { signal }: TransactOptions = {}): Promise<Mined> {
  const data = encodeFunctionData({ abi: providerRegistryAbi, functionName: 'exit' })
  return send(chain, data, { what: 'leaving the registry', signal })
}

/** Takes the wallet's row off the list, seven days after `exitRegistry`; the bond comes back. */
export function removeProvider(chain: Chain, { signal }: TransactOptions = {}): Promise<Mined> {
  const data = encodeFunctionData({ abi: providerRegistryAbi, functionName: 'remove' })
  return send(chain, data, { what: 'removing the row', signal })
}

/** The row of one provider; undefined when it is not listed. */
export async function readEntry(chain: Chain, provider: Address): Promise<RegistryEntry | undefined> {
  const read = chain.public.readContract({
    address: chain.registry,
    abi: providerRegistryAbi,
    functionName: 'entryOf',
    args: [provider],
  })
  const entry = await fromChain('reading the registry', read)
  return entry.index === 0 ? undefined : toEntry(provider, entry)
}

export interface PageOptions {
  readonly start: bigint
  readonly limit: bigint
  /** All pages of one reading are read at one block: a removal moves rows. */
  readonly blockNumber: bigint
}

/** Rows from `start`; empty past the end. */
export async function readPage(chain: Chain, { start, limit, blockNumber }: PageOptions): Promise<RegistryEntry[]> {
  const call = {
    address: chain.registry,
    abi: providerRegistryAbi,
    functionName: 'page',
    args: [start, limit],
    blockNumber,
  } as const
  const rows = await fromChain('reading the registry', chain.public.readContract(call))
  return rows.map((row) => toEntry(row.provider, row.entry))
}

/** The records that the provider announced in the row's block; the contract holds the digest of the last. */
export async function readRecords(chain: Chain, { provider, updatedBlock }: RegistryEntry): Promise<Uint8Array[]> {
  const block = { fromBlock: updatedBlock, toBlock: updatedBlock }
  const query = {
    address: chain.registry,
    event: PROVIDER_UPDATED,
    args: { provider },
    ...block,
    strict: true,
  } as const
  const logs = await fromChain('reading a registry record', chain.public.getLogs(query))
  return logs.map((log) => hexToBytes(log.args.record))
}

async function approveBond(chain: Chain, { signal }: TransactOptions): Promise<void> {
  const owner = requireWallet(chain).account.address
  const contract = { address: chain.registry, abi: providerRegistryAbi } as const
  const bond = await fromChain(
    'reading the bond',
    chain.public.readContract({ ...contract, functionName: 'BOND_AMOUNT' }),
  )
  if (bond === 0n || (await readEntry(chain, owner)) !== undefined) return
  const token = await fromChain(
    'reading the bond token',
    chain.public.readContract({ ...contract, functionName: 'BOND_TOKEN' }),
  )
  const allowance = await tokenAllowance(chain, { token, owner, spender: chain.registry })
  if (allowance < bond) await approveToken(chain, { token, to: chain.registry, amount: bond, signal })
}

function send(chain: Chain, data: Hex, { what, signal }: TransactOptions & { what: string }): Promise<Mined> {
  return transact(chain, { to: chain.registry, data, abi: providerRegistryAbi, what }, { signal })
}

type Row = Omit<RegistryEntry, 'provider' | 'updatedBlock'> & { readonly updatedBlock: number }

function toEntry(provider: Address, { digest, seq, updatedBlock, exitAt, bond, codec }: Row): RegistryEntry {
  return { provider, digest, seq, updatedBlock: BigInt(updatedBlock), exitAt, bond, codec }
}
