/**
 * The records of many rows, in few requests: the events of up to 200 providers between the first and the last of their blocks, and
 * of half as many where an endpoint refuses so much, down to one provider in one block, which every endpoint gives out.
 * Spec: spec/REGISTRY.md#reading.
 */
import { equalBytes, fromHex, sha256 } from '../bytes.ts'
import type { Chain } from '../chain/client.ts'
import { type AnnouncedRecord, type RegistryEntry, readRecords } from '../chain/registry.ts'
import { toTrustedPodsError } from '../errors.ts'
import { recordKey } from './record-cache.ts'

/** 200 records of 4096 bytes are 1.8 MB of JSON: within every limit on answers seen. */
const WINDOW_ROWS = 200
/** Windows asked for at once: public endpoints limit the rate. */
const PARALLEL_WINDOWS = 4
/** Rows in a row that an endpoint gives nothing for, before the rest is left for the next reading. */
const MAX_FAILURES = 4

/** The bytes whose digest is the row's, or why there are none. */
export type FetchedRecord = { readonly bytes: Uint8Array } | { readonly missing: string }

/** By `recordKey`; every row is in it. */
export async function fetchRecords(
  chain: Chain,
  entries: readonly RegistryEntry[],
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Map<string, FetchedRecord>> {
  const rows = entries.toSorted((a, b) => Number(a.updatedBlock - b.updatedBlock))
  const windows = Array.from({ length: Math.ceil(rows.length / WINDOW_ROWS) }, (_, i) =>
    rows.slice(i * WINDOW_ROWS, (i + 1) * WINDOW_ROWS),
  )
  const found = new Map<string, FetchedRecord>()
  const failures = { inARow: 0 }
  for (let i = 0; i < windows.length; i += PARALLEL_WINDOWS) {
    signal?.throwIfAborted()
    await Promise.all(
      windows.slice(i, i + PARALLEL_WINDOWS).map((rows) => fetchWindow({ chain, found, failures, signal }, rows)),
    )
  }
  return found
}

interface Fetching {
  readonly chain: Chain
  readonly found: Map<string, FetchedRecord>
  readonly failures: { inARow: number }
  readonly signal: AbortSignal | undefined
}

async function fetchWindow(fetching: Fetching, rows: readonly RegistryEntry[]): Promise<void> {
  const { chain, found, failures, signal } = fetching
  signal?.throwIfAborted()
  try {
    await keepMatching(found, rows, await readRecords(chain, rows))
    failures.inARow = 0
  } catch (error) {
    const missing = toTrustedPodsError(error, 'CHANNEL_RPC_UNAVAILABLE').message
    if (rows.length === 1) failures.inARow++
    if (rows.length === 1 || failures.inARow >= MAX_FAILURES) {
      for (const row of rows) found.set(recordKey(row), { missing })
      return
    }
    const half = Math.ceil(rows.length / 2)
    await fetchWindow(fetching, rows.slice(0, half))
    await fetchWindow(fetching, rows.slice(half))
  }
}

async function keepMatching(
  found: Map<string, FetchedRecord>,
  rows: readonly RegistryEntry[],
  records: readonly AnnouncedRecord[],
): Promise<void> {
  const byProvider = Map.groupBy(records, ({ provider }) => provider.toLowerCase())
  for (const row of rows) {
    const bytes = await findByDigest(row, byProvider.get(row.provider.toLowerCase()) ?? [])
    found.set(
      recordKey(row),
      bytes ? { bytes } : { missing: whyMissing(byProvider.get(row.provider.toLowerCase()) ?? []) },
    )
  }
}

/** An announcement by CID alone has an event with no bytes. */
function whyMissing(records: readonly AnnouncedRecord[]): string {
  const isElsewhere = records.length > 0 && records.every(({ bytes }) => bytes.length === 0)
  return isElsewhere ? 'its record is on IPFS alone' : 'no record with its digest is in its block'
}

async function findByDigest(
  { digest }: RegistryEntry,
  records: readonly AnnouncedRecord[],
): Promise<Uint8Array | undefined> {
  const wanted = fromHex(digest) ?? new Uint8Array()
  for (const { bytes } of records) if (equalBytes(await sha256(bytes), wanted)) return bytes
  return undefined
}
