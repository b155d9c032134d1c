/**
 * Records that the chain does not give out, from IPFS: by their raw CID, which is the digest of the row, over trustless gateways that
 * the user names. A gateway can hold a record back, not forge one. Spec: spec/REGISTRY.md#ipfs.
 */
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { equalBytes, fromHex, sha256 } from '../bytes.ts'
import type { RegistryEntry } from '../chain/registry.ts'
import { readBounded } from './bounded-body.ts'
import type { FetchedRecord } from './fetch-records.ts'
import { MAX_RECORD_BYTES } from './record.ts'
import { recordKey } from './record-cache.ts'

const CODEC_RAW = 0x55
const SHA2_256 = 0x12
/** 10 s: a gateway that has to look for a record first takes some seconds. */
const REQUEST_TIMEOUT_MS = 10_000
/** 60 s for all records of a page of rows: what is not there by then is looked for at the next reading. */
const BUDGET_MS = 60_000
/** Requests at once: public gateways limit the rate. */
const PARALLEL = 16
/** Requests in a row that a gateway does not answer at all, before it is left alone. */
const MAX_FAILURES = 8

export interface GatewayOptions {
  /** URLs of trustless gateways, asked one after the other. */
  readonly gateways: readonly string[]
  readonly signal?: AbortSignal | undefined
  readonly requestTimeoutMs?: number
  readonly budgetMs?: number
}

/** By `recordKey`; every row is in it. */
export async function fetchFromGateways(
  entries: readonly RegistryEntry[],
  { gateways, signal, requestTimeoutMs = REQUEST_TIMEOUT_MS, budgetMs = BUDGET_MS }: GatewayOptions,
): Promise<Map<string, FetchedRecord>> {
  const found = new Map<string, FetchedRecord>()
  const budget = AbortSignal.timeout(budgetMs)
  const asking = gateways.map((url) => new Gateway(url, requestTimeoutMs))
  const rows = entries.values()
  const worker = async () => {
    for (const entry of rows) {
      signal?.throwIfAborted()
      const limit = signal ? AbortSignal.any([budget, signal]) : budget
      found.set(
        recordKey(entry),
        budget.aborted ? { missing: 'no time was left to ask for it' } : await ask(asking, entry, limit),
      )
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
  signal?.throwIfAborted()
  return found
}

async function ask(
  gateways: readonly Gateway[],
  { digest }: RegistryEntry,
  signal: AbortSignal,
): Promise<FetchedRecord> {
  const wanted = fromHex(digest) ?? new Uint8Array()
  const reasons: string[] = []
  for (const gateway of gateways) {
    const answer = await gateway.fetch(wanted, signal)
    if ('bytes' in answer) return answer
    reasons.push(answer.missing)
  }
  return { missing: `its record is not to be had by its CID: ${reasons.join('; ')}` }
}

class Gateway {
  readonly #url: string
  readonly #timeoutMs: number
  #failures = 0

  constructor(url: string, timeoutMs: number) {
    this.#url = url.replace(/\/+$/, '')
    this.#timeoutMs = timeoutMs
  }

  /** The bytes of this SHA-256, or why they are not had. */
  async fetch(digest: Uint8Array, signal: AbortSignal): Promise<FetchedRecord> {
    // Paths and user parts of URLs often hold a key.
    const { host } = new URL(this.#url)
    if (this.#failures >= MAX_FAILURES) return { missing: `${host} does not answer` }
    const cid = CID.createV1(CODEC_RAW, createDigest(SHA2_256, digest)).toString()
    try {
      const response = await fetch(`${this.#url}/ipfs/${cid}?format=raw`, {
        headers: { accept: 'application/vnd.ipld.raw' },
        signal: AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]),
      })
      const bytes = response.ok && response.body ? await readBounded(response.body, MAX_RECORD_BYTES) : undefined
      if (!response.ok) await response.body?.cancel()
      this.#failures = 0
      if (!response.ok) return { missing: `${host} answers with status ${response.status}` }
      if (bytes === undefined) return { missing: `what ${host} gives is longer than ${MAX_RECORD_BYTES} bytes` }
      if (equalBytes(await sha256(bytes), digest)) return { bytes }
      return { missing: `what ${host} gives has another digest` }
    } catch (error) {
      this.#failures++
      return { missing: `${host}: ${error instanceof Error ? error.message : String(error)}` }
    }
  }
}
