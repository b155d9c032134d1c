/**
 * One RPC endpoint, believed only while it is on the right chain and not behind: what fails here makes the caller go on to the next
 * endpoint. Answers are bounded in time and size. Spec: spec/PAYMENT.md#chain.
 */
import { BaseError, createTransport, type Hex, hexToNumber, http, isHex, type Transport } from 'viem'

export interface GuardOptions {
  readonly chainId: number
  /** Names the endpoint in errors: host and port only. */
  readonly host: string
  /** What all endpoints of one chain have shown; shared by them. */
  readonly heads: Heads
  /** A head older than this, by our clock, is stale; undefined: chains that make blocks on demand have old heads. */
  readonly maxHeadAgeMs?: number | undefined
}

/** The newest head of each endpoint, by host. */
export type Heads = Map<string, Head>

export interface Head {
  /** Unix seconds in the block. */
  readonly timestamp: number
  /** When it was seen, by a clock that does not jump. */
  readonly seenAtMs: number
}

/** 10 s for one request: past it the next endpoint is tried. */
export const RPC_TIMEOUT_MS = 10_000
/** 10 MiB: some 4,000 of the longest events; more is asked for in pieces. */
export const MAX_ANSWER_BYTES = 10 * 1024 * 1024
/** An endpoint is looked at again after this long: often enough to notice within a block or two that it fell behind. */
const CHECK_EVERY_MS = 10_000
/** An endpoint whose head is this much older than that of another one is behind: five 12-second blocks. */
export const MAX_LAG_SECONDS = 60

/** The endpoint is there, and must not be believed. */
class UntrustedEndpointError extends BaseError {
  override name = 'UntrustedEndpointError'
}

/** The fallback around it makes the transport anew for each request: what was seen is kept outside. */
export function guardedHttp(url: string, options: GuardOptions): Transport {
  const bounded = http(url, { timeout: RPC_TIMEOUT_MS, retryCount: 0, maxResponseBodySize: MAX_ANSWER_BYTES })
  const request = bounded({}).request as (call: { method: string; params?: unknown }) => Promise<unknown>
  const check = atMostEvery(CHECK_EVERY_MS, () => checkEndpoint(request, options))
  return () =>
    createTransport({
      key: 'guarded',
      name: options.host,
      type: 'guarded',
      retryCount: 0,
      async request(call) {
        await check()
        return (await request(call)) as never
      },
    })
}

/** Runs `check` when the last one that passed is long ago; who asks meanwhile waits for the same one. */
function atMostEvery(ms: number, check: () => Promise<void>): () => Promise<void> {
  let passedAt = Number.NEGATIVE_INFINITY
  let running: Promise<void> | undefined
  return async () => {
    if (performance.now() - passedAt < ms) return
    running ??= check()
      .then(() => {
        passedAt = performance.now()
      })
      .finally(() => {
        running = undefined
      })
    await running
  }
}

async function checkEndpoint(
  request: (call: { method: string; params?: unknown }) => Promise<unknown>,
  { chainId, host, heads, maxHeadAgeMs }: GuardOptions,
): Promise<void> {
  const [id, block] = await Promise.all([
    request({ method: 'eth_chainId' }),
    request({ method: 'eth_getBlockByNumber', params: ['latest', false] }),
  ])
  const seenId = toNumber(id)
  if (seenId !== chainId) throw new UntrustedEndpointError(`${host} is chain ${seenId}, wanted ${chainId}`)
  const head = {
    timestamp: toNumber((block as { timestamp?: unknown } | null)?.timestamp),
    seenAtMs: performance.now(),
  }
  heads.set(host, head)
  requireFresh(head, { host, heads, maxHeadAgeMs })
}

function requireFresh(head: Head, { host, heads, maxHeadAgeMs }: Omit<GuardOptions, 'chainId'>): void {
  const best = Math.max(...[...heads.values()].map(({ timestamp }) => timestamp))
  if (best - head.timestamp > MAX_LAG_SECONDS)
    throw new UntrustedEndpointError(`${host} is ${best - head.timestamp} s behind another endpoint`)
  const ageMs = Date.now() - head.timestamp * 1000
  if (maxHeadAgeMs !== undefined && ageMs > maxHeadAgeMs)
    throw new UntrustedEndpointError(`the newest block of ${host} is ${Math.round(ageMs / 1000)} s old`)
}

function toNumber(value: unknown): number {
  if (isHex(value)) return hexToNumber(value as Hex)
  throw new UntrustedEndpointError('the endpoint answered something that is no number')
}
