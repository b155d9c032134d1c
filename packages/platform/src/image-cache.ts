/**
 * What a publisher keeps of images in a folder: encrypted blocks, what is known of each layer, which image had which layers, and who needs
 * which tree. Every file is written whole or not at all, so that several programs can use it at once and any of them can be killed.
 * Spec: spec/IMAGES.md#cache.
 */
import { createHash } from 'node:crypto'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { CachedLayer, LayerCache } from '@trusted-pods/protocol/image/layer-cache.ts'
import { generateImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { CID } from 'multiformats/cid'
import { addTree, filesBelow, keyOf, type Swept, sweepBlockFiles, unlinkIfThere } from './block-files.ts'
import { type FileBlockstore, openFileBlockstore } from './file-blockstore.ts'
import { type TreeRecord, TreeRecords } from './image-records.ts'
import { modifiedAt, namesIn, readJson, toJsonBytes } from './json-files.ts'
import { DAY_MS, forgetLayers, keptLayers, MAX_LAYER_AGE_MS, MIN_AGE_MS, type StoredLayer } from './kept-layers.ts'
import { loadOrCreateSecret, storeSecret } from './secret-file.ts'
import { beginRun, type StoreRun, whileNobodyWrites } from './store-runs.ts'

/** Beyond it the layers that were not used for longest go. */
const DEFAULT_MAX_BYTES = 20 * 1024 ** 3

/** Folder of what is known of layers whose blocks lie in other stores. */
const ELSEWHERE = 'elsewhere'
/** Blocks that are looked for at once: the store may be a program that would have as many connections. */
const LOOKUPS = 32

/** What an image was made of, so that it need not be read again to know. */
export interface ImageRecord {
  /** Exact bytes of the config. */
  readonly config: Uint8Array
  readonly layers: readonly { readonly mediaType: string; readonly diffId: string }[]
}

export interface ImageCacheOptions {
  readonly maxBytes?: number
  /** Unix milliseconds. */
  readonly clock?: () => number
}

export async function openImageCache(folder: string, options: ImageCacheOptions = {}): Promise<ImageCache> {
  const makeKey = async () => (await generateImageKey()).privateKey
  const privateKey = await loadOrCreateSecret(join(folder, 'key'), makeKey)
  return new ImageCache(folder, {
    ...options,
    privateKey,
    blockstore: await openFileBlockstore(join(folder, 'blocks')),
  })
}

export class ImageCache implements LayerCache {
  readonly blockstore: FileBlockstore
  readonly privateKey: Uint8Array
  readonly trees: TreeRecords
  readonly #folder: string
  readonly #maxBytes: number
  readonly #clock: () => number

  constructor(
    folder: string,
    {
      privateKey,
      blockstore,
      maxBytes = DEFAULT_MAX_BYTES,
      clock = Date.now,
    }: ImageCacheOptions & { privateKey: Uint8Array; blockstore: FileBlockstore },
  ) {
    this.#folder = folder
    this.#maxBytes = maxBytes
    this.#clock = clock
    this.trees = new TreeRecords(join(folder, 'trees'))
    this.privateKey = privateKey
    this.blockstore = blockstore
  }

  /** Layers whose blocks lie in another store than the cache's own. @param name of that store. */
  within(name: string, blockstore: FileBlockstore): ImageCache {
    const folder = join(this.#folder, ELSEWHERE, fileName(name).slice(0, 32))
    const { privateKey } = this
    return new ImageCache(folder, { privateKey, blockstore, maxBytes: this.#maxBytes, clock: this.#clock })
  }

  async find(diffId: string): Promise<CachedLayer | undefined> {
    const path = this.#layerPath(diffId)
    // Before it is looked at: a collection that sees the new time lets it live.
    if (!(await this.#touch(path))) return undefined
    const layer = await readJson<StoredLayer>(path)
    if (!layer || this.#clock() - layer.createdAtMs > MAX_LAYER_AGE_MS) return undefined
    return (await this.#holdsAll(layer)) ? layer : undefined
  }

  async keep(diffId: string, layer: CachedLayer): Promise<void> {
    const stored: StoredLayer = { ...layer, createdAtMs: this.#clock() }
    await storeSecret(this.#layerPath(diffId), toJsonBytes(stored))
  }

  /** @param id names the image's content, as an engine's image id does. */
  async findImage(id: string): Promise<ImageRecord | undefined> {
    const record = await readJson<{ config: string; layers: ImageRecord['layers'] }>(this.#imagePath(id))
    return record && { config: new Uint8Array(Buffer.from(record.config, 'base64')), layers: record.layers }
  }

  async keepImage(id: string, { config, layers }: ImageRecord): Promise<void> {
    const known = layers.map(({ mediaType, diffId }) => ({ mediaType, diffId }))
    await storeSecret(
      this.#imagePath(id),
      toJsonBytes({ config: Buffer.from(config).toString('base64'), layers: known }),
    )
  }

  /** Keeps the trees, whatever else is collected, until `unpin`. @param name safe as a file name. */
  async pin(name: string, cids: readonly Uint8Array[]): Promise<void> {
    const before = await this.pinned(name)
    const all = new Set([...before, ...cids.map((cid) => CID.decode(cid).toString())])
    await storeSecret(this.#pinPath(name), toJsonBytes([...all]))
  }

  async unpin(name: string): Promise<void> {
    await unlinkIfThere(this.#pinPath(name))
  }

  async pins(): Promise<string[]> {
    return (await namesIn(join(this.#folder, 'pins'))).map((name) => name.replace(/\.json$/, ''))
  }

  /** CIDs of the trees that a pin keeps. */
  async pinned(name: string): Promise<string[]> {
    return (await readJson<string[]>(this.#pinPath(name))) ?? []
  }

  /** Records of trees that neither their user nor a pin wants. */
  async unwantedTrees(): Promise<TreeRecord[]> {
    const pinned = new Set((await Promise.all((await this.pins()).map((name) => this.pinned(name)))).flat())
    const isFresh = ({ until }: TreeRecord) => until !== undefined && Date.parse(until) > this.#clock()
    return (await this.trees.list()).filter((record) => !record.isKept && !pinned.has(record.cid) && !isFresh(record))
  }

  /** To be held while blocks are written that nothing names yet. */
  begin({ signal }: { signal?: AbortSignal } = {}): Promise<StoreRun> {
    return beginRun(this.#folder, { sweep: () => this.#collectAll(), signal })
  }

  /** Does the work while nobody writes; undefined: somebody does, and nothing was done. */
  alone<T>(work: () => Promise<T>): Promise<T | undefined> {
    return whileNobodyWrites(this.#folder, work)
  }

  /**
   * Forgets layers that are old or too many and trees that nobody wants, then removes the blocks that are left without a name: all of
   * them where nobody is writing, else those that are a day old.
   */
  async collect(): Promise<Swept> {
    return (await this.alone(() => this.#collectAll())) ?? this.#collect(MIN_AGE_MS)
  }

  async #collectAll(): Promise<Swept> {
    const swept = await this.#collect(0)
    await this.trees.removeOrphanKeys(join(this.#folder, 'keys'))
    for (const path of await filesBelow(join(this.#folder, ELSEWHERE)))
      if (this.#clock() - (await modifiedAt(path)) > MAX_LAYER_AGE_MS) await unlinkIfThere(path)
    return swept
  }

  async #collect(olderThanMs: number): Promise<Swept> {
    await this.#forgetOldImages()
    // Those that an IPFS node has must be taken from there first.
    for (const { cid, ipfsApi } of await this.unwantedTrees())
      if (ipfsApi === undefined) await this.trees.remove(CID.parse(cid))
    const live = await this.#liveBlocks()
    return sweepBlockFiles(join(this.#folder, 'blocks'), live, { olderThanMs, now: this.#clock() })
  }

  /** `collect`, unless it was done within a day: it looks at every block. */
  async collectDaily(): Promise<void> {
    const marker = join(this.#folder, 'collected')
    if (this.#clock() - (await modifiedAt(marker)) < DAY_MS) return
    await this.collect()
    await storeSecret(marker, new Uint8Array())
  }

  async close(): Promise<void> {
    await this.blockstore.close()
  }

  /** Forgets the layers that no other tree has; not while somebody writes, who may just be using them. */
  async forgetLayersOf(cid: CID): Promise<void> {
    await this.alone(async () => {
      const own = new Set<string>()
      await addTree(this.blockstore, cid, own)
      const others = await this.#treeBlocks((root) => root !== `${cid}`)
      const isOwn = (key: string) => own.has(key) && !others.has(key)
      await forgetLayers(join(this.#folder, 'layers'), (layer) => isOwn(keyOf(CID.parse(layer.cid))))
    })
  }

  async #treeBlocks(isWanted: (root: string) => boolean = () => true): Promise<Set<string>> {
    const blocks = new Set<string>()
    const pinned = await Promise.all((await this.pins()).map((name) => this.pinned(name)))
    const kept = (await this.trees.list()).filter(({ ipfsApi }) => ipfsApi === undefined).map(({ cid }) => cid)
    for (const root of [...pinned.flat(), ...kept].filter(isWanted))
      await addTree(this.blockstore, CID.parse(root), blocks)
    return blocks
  }

  async #liveBlocks(): Promise<Set<string>> {
    const live = await this.#treeBlocks()
    for (const { blocks } of await keptLayers(join(this.#folder, 'layers'), {
      maxBytes: this.#maxBytes,
      now: this.#clock(),
    }))
      for (const cid of blocks) live.add(keyOf(CID.parse(cid)))
    return live
  }

  async #forgetOldImages(): Promise<void> {
    const folder = join(this.#folder, 'images')
    for (const name of await namesIn(folder)) {
      const path = join(folder, name)
      if (this.#clock() - (await modifiedAt(path)) > MAX_LAYER_AGE_MS) await unlinkIfThere(path)
    }
  }

  async #holdsAll({ blocks }: CachedLayer): Promise<boolean> {
    for (let at = 0; at < blocks.length; at += LOOKUPS) {
      const some = blocks.slice(at, at + LOOKUPS)
      const sizes = await Promise.all(some.map((cid) => this.blockstore.sizeOf(CID.parse(cid))))
      if (sizes.includes(undefined)) return false
    }
    return true
  }

  async #touch(path: string): Promise<boolean> {
    const now = new Date(this.#clock())
    return utimes(path, now, now).then(
      () => true,
      () => false,
    )
  }

  #layerPath(diffId: string): string {
    return join(this.#folder, 'layers', fileName(diffId))
  }

  #imagePath(id: string): string {
    return join(this.#folder, 'images', fileName(id))
  }

  #pinPath(name: string): string {
    return join(this.#folder, 'pins', `${name}.json`)
  }
}

/** Whatever it is, a name without a path in it. */
function fileName(id: string): string {
  return `${createHash('sha256').update(id).digest('hex')}.json`
}
