/**
 * Providers from the registry contract: pages of rows at one block, then each row's record from the event in its block. The digest in
 * the row decides which bytes are the record; an endpoint can hide a provider, not forge one. Spec: spec/REGISTRY.md#reading.
 */
import { equalBytes, fromHex, sha256 } from '../bytes.ts'
import { fromChain } from '../chain/chain-error.ts'
import type { Chain } from '../chain/client.ts'
import { type RegistryEntry, readPage, readRecords } from '../chain/registry.ts'
import { toTrustedPodsError } from '../errors.ts'
import { openRow, type ReadOptions, type RegistryRow, type RegistrySource } from './source.ts'

/** 1,000 rows cost about 10.7 M gas: within every node's limit for a call. */
const PAGE_ROWS = 1000n
/** Records asked for at once: public endpoints limit the rate. */
const PARALLEL_RECORDS = 8
/** Multicodec raw: the only codec whose record the event carries. */
const CODEC_RAW = 0x55

export interface ChainSourceOptions {
  /** The time by which records expire; read anew with every reading. */
  readonly now?: () => Date
  /** Rows asked for at once. */
  readonly pageRows?: bigint
}

export function chainSource(
  chain: Chain,
  { now = () => new Date(), pageRows = PAGE_ROWS }: ChainSourceOptions = {},
): RegistrySource {
  return {
    async *providers({ signal }: ReadOptions = {}) {
      const at = now()
      for await (const entries of pages(chain, { pageRows, signal })) {
        for (let i = 0; i < entries.length; i += PARALLEL_RECORDS) {
          signal?.throwIfAborted()
          yield* await Promise.all(entries.slice(i, i + PARALLEL_RECORDS).map((entry) => openEntry(chain, entry, at)))
        }
      }
    },
  }
}

interface Paging extends ReadOptions {
  readonly pageRows: bigint
}

async function* pages(chain: Chain, { pageRows, signal }: Paging): AsyncIterable<RegistryEntry[]> {
  const blockNumber = await fromChain('reading the head', chain.public.getBlockNumber())
  for (let start = 0n; ; start += pageRows) {
    signal?.throwIfAborted()
    const entries = await readPage(chain, { start, limit: pageRows, blockNumber })
    yield entries
    if (BigInt(entries.length) < pageRows) return
  }
}

async function openEntry(chain: Chain, entry: RegistryEntry, now: Date): Promise<RegistryRow> {
  const { provider: account, exitAt, codec } = entry
  if (exitAt !== 0) return { skipped: 'the provider is leaving', account }
  if (codec !== CODEC_RAW) return { skipped: 'its record is not in the registry', account }
  const bytes = await readRecord(chain, entry)
  if (!(bytes instanceof Uint8Array)) return bytes
  return await openRow(bytes, { chainId: chain.chainId, registry: chain.registry, account, now })
}

async function readRecord(chain: Chain, entry: RegistryEntry): Promise<Uint8Array | RegistryRow> {
  const account = entry.provider
  try {
    const digest = fromHex(entry.digest) ?? new Uint8Array()
    for (const bytes of await readRecords(chain, entry)) if (equalBytes(await sha256(bytes), digest)) return bytes
    return { skipped: 'no record with its digest is in its block', account }
  } catch (error) {
    return { skipped: toTrustedPodsError(error, 'CHANNEL_RPC_UNAVAILABLE').message, account }
  }
}
