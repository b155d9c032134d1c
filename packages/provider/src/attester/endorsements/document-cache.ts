/**
 * Documents in memory and on disk, fetched when they are first asked for and then again and again behind the scenes. The old
 * one stays until a new one is there; after a failure the next attempt waits, longer each time, or as long as the server says.
 */
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Document, DocumentRequest } from './document.ts'
import { DocumentFiles } from './document-files.ts'
import { DownloadError, download } from './download.ts'

export interface CacheOptions {
  readonly folder: string
  readonly log: Logger
  /** The wall clock unless given. */
  readonly clock?: () => Date
  readonly timeoutMs?: number
  /** After the first failure; doubled after each further one, up to maxRetryMs. */
  readonly retryMs?: number
  readonly maxRetryMs?: number
}

/** 8 s: a quarter of the time that a publisher waits for evidence stays for the hardware. */
const TIMEOUT_MS = 8_000
/** AMD's service answers 429 after some requests in a row: first a minute, at most six hours. */
const RETRY_MS = 60_000
const MAX_RETRY_MS = 6 * 3_600_000
/** The longest document is a revocation list, which evidence may have 256 KiB of. */
const MAX_BYTES = 256 * 1024
/** More than a machine needs at a time: the documents of firmware that was updated are left behind. */
const MAX_DOCUMENTS = 32
/** setTimeout has no more. */
const MAX_TIMER_MS = 2 ** 31 - 1

interface Entry {
  request: DocumentRequest
  document?: Document
  /** Of the fetch that is under way. */
  fetching?: Promise<void>
  failures: number
  /** Not before. */
  retryAt: number
  timer?: NodeJS.Timeout
}

export class DocumentCache implements AsyncDisposable {
  readonly #options: Required<CacheOptions>
  readonly #files: DocumentFiles
  readonly #entries = new Map<string, Promise<Entry>>()
  readonly #stop = new AbortController()

  constructor(options: CacheOptions) {
    const defaults = { clock: () => new Date(), timeoutMs: TIMEOUT_MS, retryMs: RETRY_MS, maxRetryMs: MAX_RETRY_MS }
    this.#options = { ...defaults, ...options }
    this.#files = new DocumentFiles(options.folder)
  }

  /** What is held, else what a fetch brings; undefined where there is none and none can be had now. Never throws. */
  async get(request: DocumentRequest): Promise<Document | undefined> {
    const entry = await this.#entry(request)
    if (this.#isDue(entry)) {
      const fetching = this.#fetch(entry)
      // Only the first time is waited for: an old document is better than a late one.
      if (entry.document === undefined) await fetching
    }
    return entry.document
  }

  /** Stops all fetching; what is under way is waited for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the provider is stopping'))
    const entries = await Promise.all(this.#entries.values())
    for (const { timer } of entries) clearTimeout(timer)
    await Promise.all(entries.flatMap(({ fetching }) => (fetching ? [fetching] : [])))
  }

  #entry(request: DocumentRequest): Promise<Entry> {
    const known = this.#entries.get(request.url)
    if (known) return known
    const entry = this.#open(request)
    this.#entries.set(request.url, entry)
    this.#forgetOldest()
    return entry
  }

  async #open(request: DocumentRequest): Promise<Entry> {
    const document = await this.#files.load(request.url)
    return { request, failures: 0, retryAt: 0, ...(document && { document }) }
  }

  #forgetOldest(): void {
    const [oldest] = this.#entries
    if (this.#entries.size <= MAX_DOCUMENTS || !oldest) return
    this.#entries.delete(oldest[0])
    void oldest[1].then(({ timer }) => clearTimeout(timer))
  }

  #isDue({ document, request, retryAt }: Entry): boolean {
    const now = this.#options.clock().getTime()
    if (now < retryAt || this.#stop.signal.aborted) return false
    return document === undefined || now >= this.#refreshAt(document, request)
  }

  /** After refreshMs, and sooner for what ends sooner: half of its time is left for failures. */
  #refreshAt({ fetchedAt, goodUntil }: Document, { refreshMs }: DocumentRequest): number {
    const lifeMs = Math.max(0, goodUntil.getTime() - fetchedAt.getTime())
    return fetchedAt.getTime() + Math.min(refreshMs, lifeMs / 2)
  }

  #fetch(entry: Entry): Promise<void> {
    entry.fetching ??= this.#fetchNow(entry).finally(() => {
      delete entry.fetching
      this.#schedule(entry)
    })
    return entry.fetching
  }

  async #fetchNow(entry: Entry): Promise<void> {
    const { clock, log, timeoutMs } = this.#options
    const { request } = entry
    try {
      const answer = await download(request.url, { maxBytes: MAX_BYTES, timeoutMs, signal: this.#stop.signal })
      const fetchedAt = clock()
      const document = { ...(await request.read(answer, fetchedAt)), fetchedAt }
      entry.document = document
      entry.failures = 0
      entry.retryAt = 0
      await this.#files.save(request.url, document)
      log.info('endorsement fetched', { name: request.name, goodUntil: document.goodUntil.toISOString() })
    } catch (error) {
      if (this.#stop.signal.aborted) return
      entry.failures++
      entry.retryAt = clock().getTime() + this.#retryMs(entry.failures, error)
      const reason = error instanceof Error ? error.message : String(error)
      log.warn('endorsement not fetched', { name: request.name, failures: entry.failures, reason })
    }
  }

  #retryMs(failures: number, error: unknown): number {
    const { retryMs, maxRetryMs } = this.#options
    const asked = error instanceof DownloadError ? (error.retryAfterMs ?? 0) : 0
    return Math.min(maxRetryMs, Math.max(asked, retryMs * 2 ** (failures - 1)))
  }

  /** Fetches again when it is time, whether or not somebody asks. */
  #schedule(entry: Entry): void {
    if (this.#stop.signal.aborted) return
    clearTimeout(entry.timer)
    const { document, request, retryAt } = entry
    const at = document === undefined ? retryAt : Math.max(retryAt, this.#refreshAt(document, request))
    const delayMs = Math.min(MAX_TIMER_MS, Math.max(0, at - this.#options.clock().getTime()))
    entry.timer = setTimeout(() => {
      if (this.#isDue(entry)) void this.#fetch(entry)
      else this.#schedule(entry)
    }, delayMs).unref()
  }
}
