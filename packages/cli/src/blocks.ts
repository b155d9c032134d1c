/** Encrypted images of a lease: in the one store for all deployments, so that what did not change is neither encrypted nor sent again. */
import type { ImageCache } from '@trusted-pods/platform/image-cache.ts'
import type { TreeRecord } from '@trusted-pods/platform/image-records.ts'
import type { PublishedImage } from '@trusted-pods/protocol/image/publish.ts'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import type { Context } from './context.ts'
import { openImageStore } from './image-store.ts'
import type { IpfsFlags } from './ipfs-nodes.ts'
import { forgetUnwanted } from './stored-images.ts'

export interface Blocks extends AsyncDisposable {
  readonly blockstore: Blockstore
  readonly cache: ImageCache
  /** Keeps an image's tree for the lease until `removeBlocks`. @param name what the manifest calls it. */
  pin(image: Pick<PublishedImage, 'cid' | 'bytes'>, name: string): Promise<void>
}

/** Nothing that is written is swept until it is closed; what is pinned by then stays. */
export async function openBlocks(context: Context, leaseId: string, flags: IpfsFlags = {}): Promise<Blocks> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(openImageStore(context, flags))
  const cache = await store.cache()
  const node = await store.node()
  const run = opened.use(await cache.begin(context))
  const kept = opened.move()
  return {
    blockstore: await store.blockstore(),
    cache: node ? cache.within(node.url, node.blockstore) : cache,
    async pin({ cid, bytes }, name) {
      await node?.pin(CID.decode(cid))
      await cache.pin(leaseId, [cid])
      await recordTree(cache, { cid: CID.decode(cid).toString(), bytes, name, ...(node && { ipfsApi: node.url }) })
    },
    async [Symbol.asyncDispose]() {
      await run.finish()
      await kept.disposeAsync()
    },
  }
}

/** What its user keeps stays his. */
async function recordTree({ trees }: ImageCache, about: Omit<TreeRecord, 'createdAt' | 'isKept'>): Promise<void> {
  const before = await trees.load(CID.parse(about.cid))
  await trees.save({ createdAt: new Date().toISOString(), isKept: false, ...before, ...about })
}

/** The lease no longer needs its blocks; what later deployments can use again stays. */
export async function removeBlocks(context: Context, leaseId: string): Promise<void> {
  await using store = openImageStore(context)
  await (await store.cache()).unpin(leaseId)
  await forgetUnwanted(store, context)
}

/** Takes away what deployments left that were killed before they had a lease, and layers that nobody used for long. One that is under
 * way has no lease yet either: while somebody writes, nothing is judged. */
export async function sweepBlocks(context: Context, leaseIds: readonly string[]): Promise<void> {
  await using store = openImageStore(context)
  const cache = await store.cache()
  await cache.alone(async () => {
    for (const name of await cache.pins()) if (!leaseIds.includes(name)) await cache.unpin(name)
    await forgetUnwanted(store, context)
  })
  await cache.collectDaily()
}
