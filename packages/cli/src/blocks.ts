/** Encrypted images of a lease: in the one store for all deployments, so that what did not change is neither encrypted nor sent again. */
import type { ImageCache } from '@trusted-pods/platform/image-cache.ts'
import type { Blockstore } from 'interface-blockstore'
import type { Context } from './context.ts'
import { openImageStore } from './image-store.ts'

export interface Blocks extends AsyncDisposable {
  readonly blockstore: Blockstore
  readonly cache: ImageCache
  /** Keeps an image's tree for the lease until `removeBlocks`. */
  pin(cid: Uint8Array): Promise<void>
}

/** Nothing that is written is swept until it is closed; what is pinned by then stays. */
export async function openBlocks(context: Context, leaseId: string): Promise<Blocks> {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(openImageStore(context))
  const cache = await store.cache()
  const run = opened.use(await cache.begin(context))
  const kept = opened.move()
  return {
    blockstore: cache.blockstore,
    cache,
    pin: (cid) => cache.pin(leaseId, [cid]),
    async [Symbol.asyncDispose]() {
      await run.finish()
      await kept.disposeAsync()
    },
  }
}

/** The lease no longer needs its blocks; what later deployments can use again stays. */
export async function removeBlocks(context: Context, leaseId: string): Promise<void> {
  await using store = openImageStore(context)
  const cache = await store.cache()
  await cache.unpin(leaseId)
}

/** Takes away what deployments left that were killed before they had a lease, and layers that nobody used for long. */
export async function sweepBlocks(context: Context, leaseIds: readonly string[]): Promise<void> {
  await using store = openImageStore(context)
  const cache = await store.cache()
  for (const name of await cache.pins()) if (!leaseIds.includes(name)) await cache.unpin(name)
  await cache.collectDaily()
}
