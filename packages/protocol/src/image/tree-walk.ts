/** Which blocks of a tree are still wanted: every block once, in the order of the files, bounded in bytes and in number. Pure but for the store. */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { TrustedPodsError } from '../errors.ts'
import { decodeDagPb, findBlock, isDagPb } from './block.ts'

/** Blocks asked for at once; the protocol's bound. */
export const MAX_BATCH_BLOCKS = 16
/** Expected bytes of one answer: small enough that no transport has to pause it. */
const MAX_BATCH_BYTES = 1024 * 1024
/** A node of 1024 links has about 60 KiB; its link tells the size of all below it, not its own. */
const NODE_BYTES = 128 * 1024
/** A tree in whole chunks of 64 KiB or more fits, and what remembers it stays in memory. */
const MIN_BYTES_PER_BLOCK = 64 * 1024
const FREE_BLOCKS = 1024

interface Wanted {
  readonly cid: CID
  readonly expectedBytes: number
}

export interface TreeWalkOptions {
  readonly blockstore: Blockstore
  readonly maxBytes: number
  readonly signal: AbortSignal
  /** Called with the size of each block that the store holds already. */
  readonly onHeld: (bytes: number) => void
}

export class TreeWalk {
  /** All blocks of the tree so far, bytes. */
  bytes = 0
  readonly #options: TreeWalkOptions
  readonly #maxBlocks: number
  /** What the link that named it said of it and all below it, bytes. */
  readonly #seen = new Map<string, number>()
  /** Last one first. */
  readonly #pending: Wanted[] = []
  /** Not to be had where the others are asked for. */
  #aside: Wanted[] = []
  /** Of blocks that are named but not there, by what their links say. */
  #missingBytes = 0
  #underWay = 0
  #wake = Promise.withResolvers<void>()

  constructor(root: CID, options: TreeWalkOptions) {
    this.#options = options
    this.#maxBlocks = FREE_BLOCKS + Math.ceil(options.maxBytes / MIN_BYTES_PER_BLOCK)
    options.signal.addEventListener('abort', () => this.wake())
    this.#want(root, 0)
  }

  get progress(): { heldBytes: number; totalBytes: number } {
    return { heldBytes: this.bytes, totalBytes: Math.min(this.bytes + this.#missingBytes, this.#options.maxBytes) }
  }

  /** The next blocks to fetch, each to go to `accept`, `setAside` or `giveBack`; undefined when nothing else is left. */
  async next(signal = this.#options.signal): Promise<CID[] | undefined> {
    for (;;) {
      signal.throwIfAborted()
      const batch = await this.#missing(this.#takeBatch(), signal)
      if (batch.length > 0) return batch
      if (this.#pending.length > 0) continue
      if (this.#underWay === 0) return undefined
      await this.#wake.promise
    }
  }

  /** A block that was asked for or held, its hash checked. @throws TrustedPodsError PROVISION_IMAGE_FETCH past a bound. */
  accept(cid: CID, bytes: Uint8Array): void {
    this.bytes += bytes.length
    if (this.bytes > this.#options.maxBytes)
      throw tooMuch(`the image's tree has over ${this.#options.maxBytes} bytes, the most that is allowed`)
    this.#missingBytes -= this.#seen.get(cid.toString()) ?? 0
    const links = isDagPb(cid) ? decodeDagPb(cid, bytes).Links : []
    for (const { Hash, Tsize } of links.toReversed()) this.#want(Hash, Tsize ?? 0)
    this.#underWay--
    this.wake()
  }

  /** The source has no such block: it is asked of the next one, once this one has given the others. */
  setAside(cid: CID): void {
    this.#aside.push(this.#wanted(cid))
    this.#underWay--
    this.wake()
  }

  /** What was set aside is wanted again. @returns one of it, for a message. */
  takeUpAside(): CID | undefined {
    const [first] = this.#aside
    this.#pending.push(...this.#aside)
    this.#aside = []
    return first?.cid
  }

  /** Blocks that did not come. */
  giveBack(cids: readonly CID[]): void {
    if (cids.length === 0) return
    for (const cid of cids.toReversed()) this.#pending.push(this.#wanted(cid))
    this.#underWay -= cids.length
    this.wake()
  }

  /** Whoever waits looks again, at its signal too. */
  wake(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers<void>()
  }

  #want(cid: CID, linkBytes: number): void {
    const key = cid.toString()
    if (this.#seen.has(key)) return
    // A link may say anything; more than the cap is not let in.
    const bytes = Math.min(linkBytes, this.#options.maxBytes)
    this.#seen.set(key, bytes)
    this.#missingBytes += bytes
    if (this.#seen.size > this.#maxBlocks) throw tooMuch(`the image's tree has over ${this.#maxBlocks} blocks`)
    this.#pending.push(this.#wanted(cid))
  }

  #wanted(cid: CID): Wanted {
    return { cid, expectedBytes: isDagPb(cid) ? NODE_BYTES : (this.#seen.get(cid.toString()) ?? 0) }
  }

  #takeBatch(): CID[] {
    const batch: CID[] = []
    let bytes = 0
    while (batch.length < MAX_BATCH_BLOCKS) {
      const last = this.#pending.at(-1)
      if (!last || (batch.length > 0 && bytes + last.expectedBytes > MAX_BATCH_BYTES)) break
      this.#pending.pop()
      bytes += last.expectedBytes
      batch.push(last.cid)
    }
    this.#underWay += batch.length
    return batch
  }

  /** Those of the batch that the store lacks; the others are accepted as they are. */
  async #missing(batch: readonly CID[], signal: AbortSignal): Promise<CID[]> {
    const missing: CID[] = []
    const { blockstore, onHeld } = this.#options
    for (const [i, cid] of batch.entries()) {
      let held: Uint8Array | undefined
      try {
        held = (await blockstore.has(cid)) ? await findBlock(blockstore, cid, signal) : undefined
      } catch (error) {
        this.giveBack([...missing, ...batch.slice(i)])
        throw error
      }
      if (held) {
        this.accept(cid, held)
        onHeld(held.length)
      } else missing.push(cid)
    }
    return missing
  }
}

function tooMuch(message: string): TrustedPodsError {
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', message)
}
