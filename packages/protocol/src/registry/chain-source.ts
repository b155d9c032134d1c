/**
 * Providers from the registry contract: pages of rows at one block, then the records of those rows that are not known yet. The digest
 * in the row decides which bytes are the record; an endpoint can hide a provider, not forge one. Spec: spec/REGISTRY.md#reading.
 */
import { toAddress } from '../chain/address.ts'
import { fromChain } from '../chain/chain-error.ts'
import type { Chain } from '../chain/client.ts'
import { type RegistryEntry, readPage } from '../chain/registry.ts'
import { TrustedPodsError, toTrustedPodsError } from '../errors.ts'
import { type FetchedRecord, fetchRecords } from './fetch-records.ts'
import { fetchFromGateways } from './gateway-records.ts'
import { type OpenedRecord, reopenRecord, requireCurrent, verifyRecord } from './record.ts'
import { type KnownRecord, type KnownRecords, type RecordCache, recordKey } from './record-cache.ts'
import type { ReadOptions, RegistryRow, RegistrySource, SkippedRow } from './source.ts'

/** 1,000 rows cost about 10.7 M gas: within every node's limit for a call. */
const PAGE_ROWS = 1000n
/** Multicodec raw: a record is its bytes. */
const CODEC_RAW = 0x55

export interface ChainSourceOptions {
  /** The time by which records expire; read anew with every reading. */
  readonly now?: () => Date
  /** Rows asked for at once. */
  readonly pageRows?: bigint
  /** What earlier readings found; without it every record is fetched and verified each time. */
  readonly cache?: RecordCache
  /** URLs of trustless IPFS gateways that are asked for records which the chain does not give out. */
  readonly gateways?: readonly string[]
}

export function chainSource(
  chain: Chain,
  { now = () => new Date(), pageRows = PAGE_ROWS, cache, gateways = [] }: ChainSourceOptions = {},
): RegistrySource {
  return {
    async *providers({ signal }: ReadOptions = {}) {
      const known = (await cache?.load(chain)) ?? new Map()
      const reading = { chain, now: now(), known, seen: new Map(), gateways, signal }
      for await (const entries of pages(chain, { pageRows, signal })) yield* openPage(reading, entries)
      const { seen } = reading
      if (seen.size !== known.size || [...seen.keys()].some((key) => !known.has(key))) await cache?.save(chain, seen)
    },
  }
}

interface Reading {
  readonly chain: Chain
  readonly now: Date
  readonly known: KnownRecords
  /** What is known after this reading of the rows that are listed. */
  readonly seen: Map<string, KnownRecord>
  readonly gateways: readonly string[]
  readonly signal: AbortSignal | undefined
}

interface Paging extends ReadOptions {
  readonly pageRows: bigint
}

async function* pages(chain: Chain, { pageRows, signal }: Paging): AsyncIterable<RegistryEntry[]> {
  signal?.throwIfAborted()
  const blockNumber = await fromChain('reading the head', chain.public.getBlockNumber())
  const read = (start: bigint) => {
    const page = readPage(chain, { start, limit: pageRows, blockNumber })
    // Awaited later, or by nobody when the reader stops in between.
    page.catch(() => undefined)
    return page
  }
  let next = read(0n)
  for (let start = pageRows; ; start += pageRows) {
    signal?.throwIfAborted()
    const entries = await next
    const isLast = BigInt(entries.length) < pageRows
    // The node answers while this page is opened.
    if (!isLast) next = read(start)
    yield entries
    if (isLast) return
  }
}

async function* openPage(reading: Reading, entries: readonly RegistryEntry[]): AsyncIterable<RegistryRow> {
  const { known } = reading
  const unknown = entries.filter((entry) => whyUnusable(entry) === undefined && !known.has(recordKey(entry)))
  const fetched = await fetchAnywhere(reading, unknown)
  for (const entry of entries) {
    const unusable = whyUnusable(entry)
    if (unusable !== undefined) yield skip(entry, unusable)
    else yield known.has(recordKey(entry)) ? openKnown(reading, entry) : await openFetched(reading, entry, fetched)
  }
}

/** From the chain, and what it does not give out from IPFS. */
async function fetchAnywhere(
  { chain, gateways, signal }: Reading,
  entries: readonly RegistryEntry[],
): Promise<ReadonlyMap<string, FetchedRecord>> {
  const fetched = await fetchRecords(chain, entries, { signal })
  if (gateways.length === 0) return fetched
  const missing = entries.filter((entry) => 'missing' in (fetched.get(recordKey(entry)) ?? { missing: '' }))
  return new Map([...fetched, ...(await fetchFromGateways(missing, { gateways, signal }))])
}

function whyUnusable({ exitAt, codec }: RegistryEntry): string | undefined {
  if (exitAt !== 0) return 'the provider is leaving'
  return codec === CODEC_RAW ? undefined : 'its record is no raw block'
}

function openKnown({ known, seen, now }: Reading, entry: RegistryEntry): RegistryRow {
  const key = recordKey(entry)
  const record = known.get(key) ?? { refused: 'it is not known' }
  seen.set(key, record)
  return 'refused' in record
    ? skip(entry, record.refused)
    : current(reopenRecord(record.payload), { now, entry, expiresAtMs: record.expiresAtMs })
}

async function openFetched(
  { chain, seen, now }: Reading,
  entry: RegistryEntry,
  fetched: ReadonlyMap<string, FetchedRecord>,
): Promise<RegistryRow> {
  const record = fetched.get(recordKey(entry)) ?? { missing: 'it was not read' }
  // Not kept: the next reading may find it.
  if ('missing' in record) return skip(entry, record.missing)
  const account = toAddress(entry.provider)
  try {
    const { opened, payload } = await verifyRecord(record.bytes, { ...chain, account })
    const { expiresAtMs } = opened.record
    seen.set(recordKey(entry), { payload, expiresAtMs })
    return current(opened, { now, entry, expiresAtMs })
  } catch (error) {
    const refused = toTrustedPodsError(error, 'CHANNEL_REGISTRY_RECORD').message
    seen.set(recordKey(entry), { refused })
    return { skipped: refused, account }
  }
}

function current(
  opened: OpenedRecord,
  { now, entry, expiresAtMs }: { now: Date; entry: RegistryEntry; expiresAtMs: bigint },
): RegistryRow {
  try {
    // The chain's order of announcements takes the place of the sequence.
    requireCurrent({ sequence: 0n, expiresAtMs }, { now })
    return opened
  } catch (error) {
    if (error instanceof TrustedPodsError) return skip(entry, error.message)
    throw error
  }
}

function skip({ provider }: RegistryEntry, skipped: string): SkippedRow {
  return { skipped, account: toAddress(provider) }
}
