/**
 * Digest and MAC of a ciphertext on another thread, with each block's own digest. A layer is hashed four times on its way (plaintext,
 * ciphertext, MAC, blocks), each a pass of its own: one thread would spend nearly all of its time in them. Blocks go over and come back
 * without a copy.
 */
import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import {
  type CiphertextDigestOptions,
  type CiphertextDigests,
  type CiphertextTotals,
  type DigestedBlock,
  digestAhead,
} from '@trusted-pods/protocol/image/stream-crypto.ts'

type DigestRequest =
  | { readonly kind: 'open'; readonly id: number; readonly key: Uint8Array | undefined }
  | { readonly kind: 'block'; readonly id: number; readonly bytes: Uint8Array<ArrayBuffer>; readonly each: boolean }
  | { readonly kind: 'finish'; readonly id: number }
  | { readonly kind: 'close'; readonly id: number }

interface OpenRequest extends CiphertextDigestOptions {
  /** Absent: nothing is wanted but what each block has. */
  readonly key?: Uint8Array
}

type DigestReply =
  | ({ readonly kind: 'block'; readonly id: number } & DigestedBlock)
  | ({ readonly kind: 'totals'; readonly id: number } & CiphertextTotals)

export function openThreadDigests(key: Uint8Array, options: CiphertextDigestOptions): CiphertextDigests {
  return new ThreadDigests({ ...options, key })
}

/** Where so many wait for the thread, the next one's own digest is made here: both then have as much to do. */
const MOST_WAITING = 2

/** Each block with its SHA-256, in the order that they came. Takes their memory over; what comes back may lie elsewhere. */
export async function* digestBlocks(
  blocks: AsyncIterable<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<DigestedBlock, void, undefined> {
  using digests = new ThreadDigests({ each: true })
  yield* digestAhead(blocks, digests)
}

class ThreadDigests implements CiphertextDigests {
  readonly #thread: DigestThread
  readonly #id: number
  /** Whether each block's own digest is wanted. */
  readonly #each: boolean
  /** In the order of the blocks; those that were hashed here with their digest. */
  readonly #blocks: (PromiseWithResolvers<DigestedBlock> & { sha256: Uint8Array | undefined })[] = []
  readonly #totals = quiet(Promise.withResolvers<CiphertextTotals>())
  /** Nothing is answered any more. */
  #failure: { readonly error: unknown } | undefined

  constructor(request: OpenRequest) {
    this.#thread = sharedThread()
    this.#each = request.each
    const onFailure = (error: unknown) => this.#fail(error)
    this.#id = this.#thread.open(request.key, { onReply: (reply) => this.#take(reply), onFailure })
  }

  add(bytes: Uint8Array<ArrayBuffer>): Promise<DigestedBlock> {
    const digested = quiet(Promise.withResolvers<DigestedBlock>())
    if (this.#failure) {
      digested.reject(this.#failure.error)
      return digested.promise
    }
    const isOurs = this.#each && this.#blocks.length >= MOST_WAITING
    const sha256 = isOurs ? createHash('sha256').update(bytes).digest() : undefined
    this.#blocks.push({ ...digested, sha256 })
    this.#thread.send({ kind: 'block', id: this.#id, bytes, each: this.#each && !isOurs }, [bytes.buffer])
    return digested.promise
  }

  finish(): Promise<CiphertextTotals> {
    this.#thread.send({ kind: 'finish', id: this.#id })
    return this.#totals.promise
  }

  /** Whoever still waits is told. */
  [Symbol.dispose](): void {
    this.#thread.close(this.#id)
    this.#fail(new Error('the digest was given up'))
  }

  #take(reply: DigestReply): void {
    if (reply.kind === 'totals') this.#totals.resolve(reply)
    else {
      const { resolve, sha256 } = this.#blocks.shift() ?? {}
      resolve?.(sha256 ? { bytes: reply.bytes, sha256 } : reply)
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#totals.reject(error)
    for (const { reject } of this.#blocks.splice(0)) reject(error)
  }
}

/** Nobody may be waiting when it fails. */
function quiet<T>(resolvers: PromiseWithResolvers<T>): PromiseWithResolvers<T> {
  resolvers.promise.catch(() => {})
  return resolvers
}

interface Listener {
  onReply(reply: DigestReply): void
  onFailure(error: unknown): void
}

/** Keeps the process alive only while digests are open. */
class DigestThread {
  readonly #worker: Worker
  readonly #listeners = new Map<number, Listener>()
  #nextId = 0
  isAlive = true

  constructor() {
    this.#worker = new Worker(new URL('./digest-worker.mjs', import.meta.url))
    this.#worker.unref()
    this.#worker.on('message', (reply: DigestReply) => this.#listeners.get(reply.id)?.onReply(reply))
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', () => this.#fail(new Error('the digest thread ended')))
  }

  open(key: Uint8Array | undefined, listener: Listener): number {
    const id = this.#nextId++
    this.#listeners.set(id, listener)
    this.#worker.ref()
    this.send({ kind: 'open', id, key })
    return id
  }

  /** @param memory goes over with it, and is gone here. */
  send(request: DigestRequest, memory: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, memory)
  }

  close(id: number): void {
    if (!this.#listeners.delete(id)) return
    this.send({ kind: 'close', id })
    if (this.#listeners.size === 0) this.#worker.unref()
  }

  #fail(error: unknown): void {
    this.isAlive = false
    for (const { onFailure } of this.#listeners.values()) onFailure(error)
    this.#listeners.clear()
  }
}

let thread: DigestThread | undefined

/** One for the process: more threads than cores only cost memory. */
function sharedThread(): DigestThread {
  if (!thread?.isAlive) thread = new DigestThread()
  return thread
}
