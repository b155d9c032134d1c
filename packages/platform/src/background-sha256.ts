/**
 * SHA-256 on another thread. A layer is hashed four times on its way (plaintext, ciphertext, MAC, blocks), each a pass of its own, so that
 * one thread would spend nearly all of its time in them. Bytes are copied once, into memory that both threads see.
 */
import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import type { BackgroundDigest } from '@trusted-pods/protocol/image/stream-crypto.ts'
import type { DigestReply, DigestRequest } from './digest-worker.ts'

/** A message for each costs nothing against hashing it. */
const SLOT_BYTES = 512 * 1024
/** How far the other thread may lag; what fits is hashed here, since a thread costs more to start. */
const SLOTS = 4

export function openBackgroundSha256(): BackgroundDigest {
  return new SlottedDigest()
}

class SlottedDigest implements BackgroundDigest {
  readonly #memory: Uint8Array[] = []
  /** Slots that the thread does not read now. */
  readonly #free: number[] = []
  #current = -1
  #length = 0
  /** Set once the bytes outgrew the slots. */
  #remote: RemoteDigest | undefined

  update(bytes: Uint8Array): Promise<void> | undefined {
    const taken = this.#take(bytes)
    return taken === bytes.length ? undefined : this.#takeRest(bytes.subarray(taken))
  }

  async digest(): Promise<Uint8Array> {
    const remote = this.#remote
    if (!remote) return this.#digestHere()
    if (this.#length > 0) remote.push(this.#current, this.#length)
    return remote.end()
  }

  [Symbol.dispose](): void {
    this.#remote?.abandon()
  }

  /** As much as there is room for without waiting. */
  #take(bytes: Uint8Array): number {
    let at = 0
    while (at < bytes.length && this.#openSlot()) {
      const part = bytes.subarray(at, at + SLOT_BYTES - this.#length)
      this.#memory[this.#current]?.set(part, this.#length)
      this.#length += part.length
      at += part.length
    }
    return at
  }

  async #takeRest(bytes: Uint8Array): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      await this.#remote?.released()
      rest = rest.subarray(this.#take(rest))
    }
  }

  /** Whether there is room in the current slot, or in a next one. */
  #openSlot(): boolean {
    if (this.#current >= 0 && this.#length < SLOT_BYTES) return true
    if (this.#current >= 0) this.#pass()
    const next = this.#free.pop() ?? this.#newSlot()
    this.#current = next
    this.#length = 0
    return next >= 0
  }

  #pass(): void {
    if (this.#memory.length === SLOTS && !this.#remote) this.#startRemote()
    this.#remote?.push(this.#current, this.#length)
  }

  #newSlot(): number {
    if (this.#memory.length === SLOTS) return -1
    return this.#memory.push(new Uint8Array(new SharedArrayBuffer(SLOT_BYTES))) - 1
  }

  /** Slots that were filled before are passed on in their order; the current one follows. */
  #startRemote(): void {
    this.#remote = new RemoteDigest(this.#memory, (slot) => this.#free.push(slot))
    for (let slot = 0; slot < SLOTS - 1; slot++) this.#remote.push(slot, SLOT_BYTES)
  }

  #digestHere(): Uint8Array {
    const hash = createHash('sha256')
    for (const [slot, memory] of this.#memory.entries())
      hash.update(slot === this.#current ? memory.subarray(0, this.#length) : memory)
    return hash.digest()
  }
}

/** One digest's part of the thread. */
class RemoteDigest {
  readonly #id: number
  readonly #onFree: (slot: number) => void
  readonly #thread: DigestThread
  #freed = Promise.withResolvers<void>()
  readonly #result = Promise.withResolvers<Uint8Array>()

  constructor(memory: readonly Uint8Array[], onFree: (slot: number) => void) {
    this.#onFree = onFree
    this.#thread = sharedThread()
    // Whoever waits for the end, or for room, is told of a failure; nobody may be waiting now.
    this.#result.promise.catch(() => {})
    this.#freed.promise.catch(() => {})
    this.#id = this.#thread.open(memory, {
      onReply: (reply) => this.#take(reply),
      onFailure: (error) => {
        this.#result.reject(error)
        this.#freed.reject(error)
      },
    })
  }

  push(slot: number, length: number): void {
    this.#thread.send({ kind: 'update', id: this.#id, slot, length })
  }

  /** Resolves when a slot has come back since the last time. */
  async released(): Promise<void> {
    await this.#freed.promise
  }

  end(): Promise<Uint8Array> {
    this.#thread.send({ kind: 'end', id: this.#id })
    return this.#result.promise
  }

  /** Whoever still waits is told. */
  abandon(): void {
    this.#thread.close(this.#id)
    const error = new Error('the digest was given up')
    this.#result.reject(error)
    this.#freed.reject(error)
  }

  #take(reply: DigestReply): void {
    if (reply.kind === 'released') this.#release(reply.slot)
    else {
      this.#thread.close(this.#id)
      this.#result.resolve(reply.digest)
    }
  }

  #release(slot: number): void {
    this.#onFree(slot)
    const { resolve } = this.#freed
    this.#freed = Promise.withResolvers<void>()
    this.#freed.promise.catch(() => {})
    resolve()
  }
}

interface Listener {
  onReply(reply: DigestReply): void
  onFailure(error: unknown): void
}

/** Keeps the process alive only while a digest is open. */
class DigestThread {
  readonly #worker: Worker
  readonly #listeners = new Map<number, Listener>()
  #nextId = 0
  isAlive = true

  constructor() {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(new URL(`./digest-worker.${extension}`, import.meta.url))
    this.#worker.unref()
    this.#worker.on('message', (reply: DigestReply) => this.#listeners.get(reply.id)?.onReply(reply))
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', () => this.#fail(new Error('the digest thread ended')))
  }

  open(memory: readonly Uint8Array[], listener: Listener): number {
    const id = this.#nextId++
    this.#listeners.set(id, listener)
    this.#worker.ref()
    this.send({ kind: 'open', id, memory })
    return id
  }

  send(request: DigestRequest): void {
    this.#worker.postMessage(request)
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
