/** The one store of images on this machine: what deployments and `image publish` have put in, in a folder or in an IPFS node of the user's,
 * and the keys that open it. Spec: spec/IMAGES.md#store. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { adoptPublished } from '@trusted-pods/platform/adopt-published.ts'
import { addTree, unlinkIfThere } from '@trusted-pods/platform/block-files.ts'
import { type ImageCache, openImageCache } from '@trusted-pods/platform/image-cache.ts'
import type { TreeRecord } from '@trusted-pods/platform/image-records.ts'
import { loadPrivateKey, toPem } from '@trusted-pods/platform/images/key-files.ts'
import { BlockstoreChain, type LazyStore } from '@trusted-pods/platform/ipfs-node/blockstore-chain.ts'
import type { IpfsNode } from '@trusted-pods/platform/ipfs-node/kubo-node.ts'
import { storeSecret } from '@trusted-pods/platform/secret-file.ts'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import type { Context } from './context.ts'
import { type IpfsFlags, type IpfsNodes, ipfsNodes } from './ipfs-nodes.ts'

export interface ImageStore extends AsyncDisposable {
  /** Opened when it is first asked for. */
  cache(): Promise<ImageCache>
  /** All blocks of the store, wherever they lie; what is written goes where new images go. */
  blockstore(): Promise<Blockstore>
  /** The IPFS node that new images go to; undefined: they go into the cache's folder. */
  node(): Promise<IpfsNode | undefined>
  /** Makes the tree stay until its user removes it. */
  keep(cid: CID, about: Pick<TreeRecord, 'name'>): Promise<void>
  /** Where the key of an image lies that was encrypted here for its own key. */
  keyPath(cid: CID): string
  saveKey(cid: CID, privateKey: Uint8Array): Promise<void>
  /** PKCS#8 DER; undefined: no key of this image is here. */
  loadKey(cid: CID): Promise<Uint8Array | undefined>
  removeKey(cid: CID): Promise<void>
  /** Forgets the tree, and takes it from the IPFS node that has it. */
  forget(record: TreeRecord): Promise<void>
  /** CIDs of the keys that are here. */
  keys(): Promise<string[]>
}

const KEY_SUFFIX = '.pem'

export type StoreContext = Pick<Context, 'stateFolder' | 'configPath' | 'signal'>

export function openImageStore(context: StoreContext, flags: IpfsFlags = {}): ImageStore {
  const { stateFolder } = context
  const nodes = ipfsNodes(context, flags)
  const folder = join(stateFolder, 'images')
  const keys = join(folder, 'keys')
  const keyPath = (cid: CID) => join(keys, `${cid}${KEY_SUFFIX}`)
  let opened: Promise<ImageCache> | undefined
  const cache = () => {
    opened ??= openStore(stateFolder, folder)
    return opened
  }
  return {
    cache,
    blockstore: async () => allBlocks(await cache(), nodes),
    node: () => nodes.chosen(),
    keyPath,
    keep: async (cid, about) => keepTree(await cache(), cid, { ...about, node: await nodes.chosen() }),
    async forget({ cid, ipfsApi }) {
      if (ipfsApi !== undefined) await (await nodes.at(ipfsApi)).unpin(CID.parse(cid))
      await (await cache()).trees.remove(CID.parse(cid))
    },
    async saveKey(cid, privateKey) {
      await storeSecret(keyPath(cid), Buffer.from(toPem(privateKey)))
    },
    async loadKey(cid) {
      await cache()
      // No key is here for most images.
      const there = await stat(keyPath(cid)).catch(() => undefined)
      return there && loadPrivateKey(keyPath(cid))
    },
    removeKey: (cid) => unlinkIfThere(keyPath(cid)),
    async keys() {
      // No image was encrypted for its own key yet: no folder.
      const names = await readdir(keys).catch(() => [])
      return names.filter((name) => name.endsWith(KEY_SUFFIX)).map((name) => name.slice(0, -KEY_SUFFIX.length))
    },
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => undefined))?.close()
    },
  }
}

async function openStore(stateFolder: string, folder: string): Promise<ImageCache> {
  const cache = await openImageCache(folder)
  await adoptPublished(join(stateFolder, 'published'), { cache, folder })
  return cache
}

/** A node is asked only for what the folder lacks. */
async function allBlocks(cache: ImageCache, nodes: IpfsNodes): Promise<Blockstore> {
  const chosen = await nodes.chosen()
  const others = new Set((await cache.trees.list()).flatMap(({ ipfsApi }) => ipfsApi ?? []))
  if (chosen) others.delete(chosen.url)
  else if (others.size === 0) return cache.blockstore
  const elsewhere: LazyStore[] = [...others].map((url) => async () => (await nodes.at(url)).blockstore)
  const own: LazyStore = async () => cache.blockstore
  return new BlockstoreChain(chosen ? [own, ...elsewhere, async () => chosen.blockstore] : [...elsewhere, own])
}

interface Kept extends Pick<TreeRecord, 'name'> {
  readonly node: IpfsNode | undefined
}

async function keepTree(cache: ImageCache, cid: CID, { name, node }: Kept): Promise<void> {
  await node?.pin(cid)
  const before = await cache.trees.load(cid)
  const bytes = await addTree((node ?? cache).blockstore, cid, new Set())
  const known = before ?? { createdAt: new Date().toISOString(), ...(name !== undefined && { name }) }
  await cache.trees.save({ ...known, cid: `${cid}`, bytes, isKept: true, ...(node && { ipfsApi: node.url }) })
}
