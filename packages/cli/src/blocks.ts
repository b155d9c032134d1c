/** Encrypted images of this user: one store for all deployments, so that what did not change is neither encrypted nor sent again. */
import { join } from 'node:path'
import { type ImageCache, openImageCache } from '@trusted-pods/platform/image-cache.ts'
import type { Blockstore } from 'interface-blockstore'
import type { Context } from './context.ts'

export interface Blocks extends AsyncDisposable {
  readonly blockstore: Blockstore
  readonly cache: ImageCache
  /** Keeps an image's tree for the lease until `removeBlocks`. */
  pin(cid: Uint8Array): Promise<void>
}

/** Closing leaves the blocks where they are. */
export async function openBlocks(context: Context, leaseId: string): Promise<Blocks> {
  const cache = await openCache(context)
  return {
    blockstore: cache.blockstore,
    cache,
    pin: (cid) => cache.pin(leaseId, [cid]),
    [Symbol.asyncDispose]: () => cache.close(),
  }
}

/** The lease no longer needs its blocks; what later deployments can use again stays. */
export async function removeBlocks(context: Context, leaseId: string): Promise<void> {
  const cache = await openCache(context)
  await cache.unpin(leaseId)
  await cache.close()
}

/** Takes away what deployments left that were killed before they had a lease, and layers that nobody used for long. */
export async function sweepBlocks(context: Context, leaseIds: readonly string[]): Promise<void> {
  const cache = await openCache(context)
  for (const name of await cache.pins()) if (!leaseIds.includes(name)) await cache.unpin(name)
  await cache.collectDaily()
  await cache.close()
}

function openCache({ stateFolder }: Context): Promise<ImageCache> {
  return openImageCache(join(stateFolder, 'images'))
}
