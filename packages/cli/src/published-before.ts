/** `image: ipfs:CID` of an image that `image publish` has encrypted here: its blocks and its key are used as they are. */
import { decodeDagPb, isDagPb, readBlock } from '@trusted-pods/protocol/image/block.ts'
import { parseImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { readTreeManifest } from '@trusted-pods/protocol/image/image-tree.ts'
import { parseImageManifest } from '@trusted-pods/protocol/image/oci-documents.ts'
import type { PublishedImage } from '@trusted-pods/protocol/image/publish.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import type { Context } from './context.ts'
import { openImageStore } from './image-store.ts'

interface Wanted {
  readonly image: string
  /** Where the provider will pull from. */
  readonly blockstore: Blockstore
  readonly signal?: AbortSignal
}

/** undefined where it is another place, or no key of it is here: then it is read as a plain image. */
export async function publishedBefore(
  context: Pick<Context, 'stateFolder'>,
  { image, blockstore, signal }: Wanted,
): Promise<PublishedImage | undefined> {
  const place = parseImagePlace(image)
  if (place?.kind !== 'ipfs') return undefined
  await using store = openImageStore(context)
  const privateKey = await store.loadKey(place.cid)
  if (!privateKey) return undefined
  const held = await store.blockstore()
  const { bytes } = await readTreeManifest(held, place.cid, signal ? { signal } : {})
  const { layers } = parseImageManifest(bytes)
  await copyTree(place.cid, { from: held, to: blockstore, signal })
  const total = layers.reduce((sum, { size }) => sum + size, 0)
  return { cid: place.cid.bytes, privateKey, bytes: total, layers: layers.length }
}

interface Copy {
  from: Blockstore
  to: Blockstore
  signal: AbortSignal | undefined
}

/** Each block hashed as it is read; a tree has four levels at most, and its nodes fit in memory. */
async function copyTree(cid: CID, { from, to, signal }: Copy): Promise<void> {
  if (await to.has(cid)) return
  const block = await readBlock(from, cid, signal)
  for (const { Hash } of isDagPb(cid) ? decodeDagPb(cid, block).Links : []) await copyTree(Hash, { from, to, signal })
  // Children first: a block that is there has all below it.
  await to.put(cid, block)
}
