/** What lies in the store, who needs it, and taking it away. Spec: spec/IMAGES.md#store. */
import { addTree, type Swept } from '@trusted-pods/platform/block-files.ts'
import type { ImageCache } from '@trusted-pods/platform/image-cache.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { CID } from 'multiformats/cid'
import type { Context } from './context.ts'
import type { ImageStore } from './image-store.ts'

export interface StoredImage {
  readonly cid: string
  readonly bytes: number
  /** ISO 8601; undefined for what an earlier version has stored. */
  readonly createdAt?: string
  readonly name?: string
  readonly isKept: boolean
  /** Leases that still need it. */
  readonly leases: readonly string[]
  /** ISO 8601: was fetched, and stays until then. */
  readonly until?: string
  readonly hasKey: boolean
  /** The IPFS node that has its blocks. */
  readonly ipfsApi?: string
}

/** The newest first; those that only a lease has named come last. */
export async function listImages(store: ImageStore): Promise<StoredImage[]> {
  const cache = await store.cache()
  const keys = new Set(await store.keys())
  const leasesOf = await pinsByTree(cache)
  const records = await cache.trees.list()
  const named = records.map(({ cid, bytes, createdAt, name, isKept, until, ipfsApi }) => ({
    ...{ cid, bytes, createdAt, isKept, leases: leasesOf.get(cid) ?? [], hasKey: keys.has(cid) },
    ...(name !== undefined && { name }),
    ...(until !== undefined && { until }),
    ...(ipfsApi !== undefined && { ipfsApi }),
  }))
  const known = new Set(records.map(({ cid }) => cid))
  const others = [...leasesOf].filter(([cid]) => !known.has(cid))
  return [...named, ...(await Promise.all(others.map(([cid, leases]) => unnamed(cache, cid, leases))))]
}

async function unnamed(cache: ImageCache, cid: string, leases: readonly string[]): Promise<StoredImage> {
  const bytes = await addTree(cache.blockstore, CID.parse(cid), new Set())
  return { cid, bytes, isKept: false, leases, hasKey: false }
}

async function pinsByTree(cache: ImageCache): Promise<Map<string, string[]>> {
  const leasesOf = new Map<string, string[]>()
  for (const name of await cache.pins())
    for (const cid of await cache.pinned(name)) leasesOf.set(cid, [...(leasesOf.get(cid) ?? []), name])
  return leasesOf
}

/** @throws TrustedPodsError PLATFORM_STATE for what is not there, and for what a lease still needs. */
export async function removeImage(store: ImageStore, cid: CID): Promise<Swept> {
  const cache = await store.cache()
  const record = await cache.trees.load(cid)
  const leases = (await pinsByTree(cache)).get(`${cid}`) ?? []
  if (leases.length > 0)
    throw new TrustedPodsError(
      'PLATFORM_STATE',
      `ipfs:${cid} is needed by lease ${leases.map((id) => id.slice(0, 12)).join(', ')}, whose provider has not pulled it yet: trustedpods deploy --resume or stop the lease first`,
    )
  if (!record) throw new TrustedPodsError('PLATFORM_STATE', `ipfs:${cid} is not in the store: trustedpods image ls`)
  await cache.forgetLayersOf(cid)
  await store.forget(record)
  await store.removeKey(cid)
  return cache.collect()
}

/** Trees that nobody wants any more; those in an IPFS node that does not answer are told, and left for the next time. */
export async function forgetUnwanted(store: ImageStore, { output }: Pick<Context, 'output'>): Promise<void> {
  const cache = await store.cache()
  for (const record of await cache.unwantedTrees())
    try {
      await store.forget(record)
    } catch (error) {
      if (!(error instanceof TrustedPodsError)) throw error
      output.progress(`warning: ipfs:${record.cid} stays pinned for now: ${error.message}`)
    }
}
