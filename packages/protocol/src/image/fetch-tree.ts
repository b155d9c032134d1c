/**
 * Pulls a whole tree into a store from one source after the other: each block hashed before it is stored, none asked for that is
 * held. A source that lacks, falsifies, stalls or is slow is left for the next. Spec: spec/IMAGES.md#transfer.
 */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { TrustedPodsError } from '../errors.ts'
import { Arrivals, type PaceOptions } from './arrivals.ts'
import { isBlockOf, isDagPb, parseTreeCid } from './block.ts'
import type { BlockChannel, BlockSource } from './block-source.ts'
import { TreeWalk } from './tree-walk.ts'

export interface FetchTreeOptions extends PaceOptions {
  /** Binary CIDv1 of the tree. */
  readonly cid: Uint8Array
  readonly blockstore: Blockstore
  /** Cap on all blocks of the tree together, those already held included. */
  readonly maxBytes: number
  readonly signal?: AbortSignal
  /** Called with the bytes received so far in this call, and how much of the tree is held. */
  readonly onProgress?: (fetchedBytes: number, tree: TreeProgress) => void
  /** A block of a file's bytes is stored; nobody here looks at it any more. */
  readonly onStored?: (block: Uint8Array) => void
  /** A source was left for the next one, and why. */
  readonly onLeft?: (source: string, reason: TrustedPodsError) => void
}

export interface TreeProgress {
  /** Bytes of the tree that are in the store by now. */
  readonly heldBytes: number
  /** Bytes of the whole tree by what its links say, at most the cap. Too high by what several folders name, until these are read. */
  readonly totalBytes: number
}

/**
 * @throws TrustedPodsError PROVISION_IMAGE_FETCH when no source has the rest of the tree, or the tree is over the cap;
 * PROVISION_IMAGE_REFUSED for blocks of another codec or hash.
 */
export async function fetchTreeFrom(
  sources: readonly BlockSource[],
  options: FetchTreeOptions,
): Promise<{ bytes: number }> {
  const transfer = new Transfer(options)
  // What is held is a whole tree, or names what is missing.
  const asked = sources.length > 0 ? sources : [NOWHERE]
  const failures: TrustedPodsError[] = []
  for (const [i, source] of asked.entries()) {
    const failure = await transfer.pullFrom(source, { isLast: i === asked.length - 1 })
    if (!failure) return { bytes: transfer.walk.bytes }
    failures.push(failure)
    options.onLeft?.(source.name, failure)
  }
  const [only] = failures
  if (failures.length === 1 && only) throw only
  throw fetchFailed(`no source has the whole image: ${failures.map(({ message }) => message).join('; ')}`)
}

/** Where nobody can be asked. */
const NOWHERE: BlockSource = {
  name: 'the store',
  channels: 1,
  open: () => ({
    async *fetch(cids) {
      for (const _ of cids) yield undefined
    },
    async end() {},
    abort() {},
  }),
  async close() {},
}

/** What one source is to blame for; everything else ends the transfer. */
class SourceFailure extends Error {}

class Transfer {
  readonly walk: TreeWalk
  readonly #options: FetchTreeOptions
  #fetchedBytes = 0
  /** Counts what is held for the source that is asked now: reading it takes its time. */
  #arrivals: Arrivals | undefined

  constructor(options: FetchTreeOptions) {
    this.#options = options
    const { signal = new AbortController().signal } = options
    const onHeld = (bytes: number) => this.#arrivals?.add(bytes)
    this.walk = new TreeWalk(parseTreeCid(options.cid), { ...options, signal, onHeld })
  }

  /** undefined: the tree is whole; else why this source could not make it so. */
  async pullFrom(source: BlockSource, { isLast }: { isLast: boolean }): Promise<TrustedPodsError | undefined> {
    const { signal } = this.#options
    using arrivals = new Arrivals(source.name, this.#options)
    this.#arrivals = arrivals
    const stopped = new AbortController()
    const until = AbortSignal.any([arrivals.signal, stopped.signal, ...(signal ? [signal] : [])])
    until.addEventListener('abort', () => this.walk.wake())
    const pull = { source, until, isLast, onBytes: (count: number) => arrivals.add(count) }
    const pulls = Array.from({ length: source.channels }, () => this.#pull(pull))
    for (const each of pulls) each.catch((error) => stopped.abort(error))
    // All of them, so that nothing is stored after a failure was told.
    await Promise.allSettled(pulls)
    await source.close()
    signal?.throwIfAborted()
    return this.#judge(source, stopped.signal.aborted ? (arrivals.signal.reason ?? stopped.signal.reason) : undefined)
  }

  #judge(source: BlockSource, reason: unknown): TrustedPodsError | undefined {
    const isItsFault = reason === this.#arrivals?.signal.reason || reason instanceof SourceFailure
    if (reason !== undefined && !isItsFault) throw toFetchError(reason)
    const lacking = this.walk.takeUpAside()
    if (reason !== undefined) return toFetchError(reason instanceof SourceFailure ? reason.cause : reason)
    return lacking && fetchFailed(`${source.name} does not have block ${lacking}`)
  }

  /** One channel's share: asks, waits for all of the answer, asks again. */
  async #pull({ source, until, isLast, onBytes }: Pull): Promise<void> {
    let channel: BlockChannel | undefined
    try {
      for (let batch = await this.walk.next(until); batch; batch = await this.walk.next(until)) {
        channel ??= source.open({ signal: until, onBytes })
        await this.#pullBatch(channel, batch, { source, isLast })
      }
      await blaming(async () => channel?.end())
    } finally {
      channel?.abort()
    }
  }

  async #pullBatch(
    channel: BlockChannel,
    batch: readonly CID[],
    { source, isLast }: Pick<Pull, 'source' | 'isLast'>,
  ): Promise<void> {
    const left = [...batch]
    try {
      const blocks = channel.fetch(batch)[Symbol.asyncIterator]()
      for (const cid of batch) {
        const { value: block } = await blaming(() => blocks.next())
        if (block) await this.#take(cid, block, source)
        else if (isLast) throw blame(fetchFailed(`${source.name} does not have block ${cid}`))
        else this.walk.setAside(cid)
        left.shift()
      }
    } finally {
      this.walk.giveBack(left)
    }
  }

  async #take(cid: CID, block: Uint8Array, source: BlockSource): Promise<void> {
    if (!(await isBlockOf(cid, block)))
      throw blame(fetchFailed(`what ${source.name} sent as block ${cid} has another hash`))
    await this.#options.blockstore.put(cid, block)
    this.walk.accept(cid, block)
    this.#fetchedBytes += block.length
    // What a node's links say lies in it.
    if (!isDagPb(cid)) this.#options.onStored?.(block)
    this.#options.onProgress?.(this.#fetchedBytes, this.walk.progress)
  }
}

interface Pull {
  readonly source: BlockSource
  /** Aborts when this source is done with, for better or worse. */
  readonly until: AbortSignal
  readonly isLast: boolean
  readonly onBytes: (count: number) => void
}

async function blaming<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw blame(error)
  }
}

function blame(cause: unknown): SourceFailure {
  return new SourceFailure('the source failed', { cause })
}

function toFetchError(error: unknown): TrustedPodsError {
  if (error instanceof TrustedPodsError && error.code.startsWith('PROVISION_')) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', `pulling the image failed: ${reason}`, { cause: error })
}

function fetchFailed(message: string): TrustedPodsError {
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', message)
}
