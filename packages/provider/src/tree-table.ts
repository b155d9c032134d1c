/**
 * Which image trees are held and for whom. A tree that no pod uses is cold: it stays, the longest unused ones going first when cold trees
 * need more than they may. All of it lies in files that are written whole, so that a start after a crash finds what is in use.
 */
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { addTree, type Swept, sweepBlockFiles, unlinkIfThere } from '@trusted-pods/platform/block-files.ts'
import { type FileBlockstore, openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { storeSecret } from '@trusted-pods/platform/secret-file.ts'
import { CID } from 'multiformats/cid'
import { SerialQueue } from './runtime/serial-queue.ts'

/** The one key of the queue. */
const ALL = 'all'
/** A block that is being written has another name for a moment. */
const WRITE_MS = 60_000

export class TreeTable {
  readonly #folder: string
  readonly #maxColdBytes: number
  /** Unix milliseconds. */
  readonly #clock: () => number
  /** Whoever names a tree waits for an eviction, and the other way round. */
  readonly #queue = new SerialQueue()
  #store: Promise<FileBlockstore> | undefined
  /** Evictions that have removed something. */
  #evictions = 0

  constructor(folder: string, { maxColdBytes, clock = Date.now }: { maxColdBytes: number; clock?: () => number }) {
    this.#folder = folder
    this.#maxColdBytes = maxColdBytes
    this.#clock = clock
  }

  blockstore(): Promise<FileBlockstore> {
    this.#store ??= openFileBlockstore(join(this.#folder, 'store'))
    return this.#store
  }

  /** The pod needs these trees from now until `release`. @param cids hex of binary CIDs. */
  async use(podId: string, cids: readonly string[]): Promise<void> {
    await this.#queue.run(ALL, async () => {
      for (const cid of cids) await storeSecret(this.#treePath(cid), new Uint8Array())
      await storeSecret(this.#podPath(podId), new TextEncoder().encode(JSON.stringify(cids)))
    })
  }

  /**
   * Fetches a tree that is in use. It may count on blocks of trees that nothing else holds: where any went meanwhile, it looks again.
   * Nobody who fetches slowly keeps the room of what is no longer needed.
   */
  async whole<T>(fetch: () => Promise<T>): Promise<T> {
    for (;;) {
      const before = this.#evictions
      const fetched = await fetch()
      // In the queue: an eviction that is under way has marked what it will remove.
      if (await this.#queue.run(ALL, async () => this.#evictions === before)) return fetched
    }
  }

  /** Its trees are cold unless another pod needs them; what has no room any more goes, now or with the next release. */
  async release(podId: string): Promise<void> {
    await this.#queue.run(ALL, async () => {
      const now = new Date()
      for (const cid of await this.#treesOf(podId)) await utimes(this.#treePath(cid), now, now).catch(() => {})
      await unlinkIfThere(this.#podPath(podId))
      const { removedBlocks } = await this.#evict()
      if (removedBlocks > 0) this.#evictions++
    })
  }

  async #evict(): Promise<Swept> {
    const store = await this.blockstore()
    // Before anything is looked at: what is written from then on is young.
    const now = this.#clock()
    const live = new Set<string>()
    const used = new Set<string>()
    for (const podId of await namesIn(join(this.#folder, 'pods')))
      for (const cid of await this.#treesOf(podId)) used.add(cid)
    for (const cid of used) await addTree(store, CID.decode(Buffer.from(cid, 'hex')), live)
    let left = this.#maxColdBytes
    for (const cid of await this.#coldTrees(used)) {
      const withIt = new Set(live)
      const bytes = await addTree(store, CID.decode(Buffer.from(cid, 'hex')), withIt)
      if (bytes > left) await rm(this.#treePath(cid), { force: true })
      else {
        left -= bytes
        for (const key of withIt) live.add(key)
      }
    }
    return sweepBlockFiles(join(this.#folder, 'store'), live, { olderThanMs: WRITE_MS, now })
  }

  /** The latest used first. */
  async #coldTrees(used: ReadonlySet<string>): Promise<string[]> {
    const cold: { cid: string; usedAtMs: number }[] = []
    for (const cid of await namesIn(join(this.#folder, 'trees')))
      if (!used.has(cid)) cold.push({ cid, usedAtMs: (await stat(this.#treePath(cid))).mtimeMs })
    return cold.toSorted((a, b) => b.usedAtMs - a.usedAtMs).map(({ cid }) => cid)
  }

  async #treesOf(podId: string): Promise<string[]> {
    try {
      return JSON.parse(await readFile(this.#podPath(podId), 'utf8')) as string[]
    } catch {
      // A pod that never named a tree, or whose file a crash cut: its trees are cold and may be asked for again.
      return []
    }
  }

  #podPath(podId: string): string {
    return join(this.#folder, 'pods', podId)
  }

  #treePath(cid: string): string {
    return join(this.#folder, 'trees', cid)
  }
}

/** Without what a crash left of a write. */
async function namesIn(folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  return (await readdir(folder)).filter((name) => !name.includes('.'))
}
