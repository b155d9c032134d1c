/** The registry contract: announcing and leaving as a provider, paging through the rows. Spec: spec/REGISTRY.md#contract. */
import { type Address, encodeFunctionData, type Hex, hexToBytes, parseAbiItem } from 'viem'
import { toHex } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
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
  const entry = await fromChain(READING, read)
  return entry.index === 0 ? undefined : toEntry(provider, entry)
}

export interface PageOptions {
  readonly start: bigint
  readonly limit: bigint
  /** All pages of one reading are read at one block: a removal moves rows. */
  readonly blockNumber: bigint
}

/** Rows from `start`; empty past the end.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when they cannot be read, or the answer is no page. */
export async function readPage(chain: Chain, { start, limit, blockNumber }: PageOptions): Promise<RegistryEntry[]> {
  const data = encodeFunctionData({ abi: providerRegistryAbi, functionName: 'page', args: [start, limit] })
  const answer = await fromChain(READING, chain.public.call({ to: chain.registry, data, blockNumber }))
  return decodePage(answer.data ?? '0x')
}

const READING = 'reading the registry'
/** Hex digits of an ABI word. */
const WORD = 64
/** provider; digest, index, seq, updatedBlock, exitAt, bond, codec. */
const ROW_WORDS = 8

/** By hand: ten thousand rows take the general decoder longer than the node takes to answer. */
function decodePage(data: Hex): RegistryEntry[] {
  const word = (index: number) => data.slice(2 + index * WORD, 2 + (index + 1) * WORD)
  const count = Number(`0x${word(1) || '0'}`)
  if (data.length !== 2 + WORD * (2 + count * ROW_WORDS))
    throw new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', `${READING} failed: ${data.length} digits are no page`)
  return Array.from({ length: count }, (_, row) => {
    const field = (index: number) => word(2 + row * ROW_WORDS + index)
    return {
      provider: `0x${field(0).slice(-40)}`,
      digest: `0x${field(1)}`,
      seq: Number(`0x${field(3)}`),
      updatedBlock: BigInt(`0x${field(4)}`),
      exitAt: Number(`0x${field(5)}`),
      bond: BigInt(`0x${field(6)}`),
      codec: Number(`0x${field(7)}`),
    }
  })
}

/** An announcement in the log. */
export interface AnnouncedRecord {
  readonly provider: Address
  readonly bytes: Uint8Array
}

/** What these providers announced in the blocks from the first of the rows to the last, superseded records too: which one is
 * the record, the digest in the row says.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE, also when the endpoint gives out no range that long. */
export async function readRecords(chain: Chain, entries: readonly RegistryEntry[]): Promise<AnnouncedRecord[]> {
  const blocks = entries.map(({ updatedBlock }) => updatedBlock).sort((a, b) => (a < b ? -1 : 1))
  const query = {
    address: chain.registry,
    event: PROVIDER_UPDATED,
    args: { provider: entries.map(({ provider }) => provider) },
    fromBlock: blocks[0] ?? 0n,
    toBlock: blocks.at(-1) ?? 0n,
    strict: true,
  } as const
  const logs = await fromChain('reading registry records', chain.public.getLogs(query))
  return logs.map(({ args }) => ({ provider: args.provider, bytes: hexToBytes(args.record) }))
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
