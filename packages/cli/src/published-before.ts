/** `image: ipfs:CID` of an image that `image publish` has encrypted here: its blocks and its key are used as they are. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { decodeDagPb, isDagPb, readBlock } from '@trusted-pods/protocol/image/block.ts'
import { parseImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { readTreeManifest } from '@trusted-pods/protocol/image/image-tree.ts'
import { encryptedLayerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import { parseImageManifest } from '@trusted-pods/protocol/image/oci-documents.ts'
import type { PublishedImage } from '@trusted-pods/protocol/image/publish.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { openImageStore, type StoreContext } from './image-store.ts'

interface Wanted {
  readonly image: string
  /** Where the provider will pull from. */
  readonly blockstore: Blockstore
  readonly signal?: AbortSignal
}

/** undefined where it is another place, or no key of it is here: then it is read as a plain image.
 * @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND where blocks are missing, MANIFEST_IMAGE_INVALID where a layer is not encrypted. */
export async function publishedBefore(
  context: StoreContext,
  { image, blockstore, signal }: Wanted,
): Promise<PublishedImage | undefined> {
  const place = parseImagePlace(image)
  if (place?.kind !== 'ipfs') return undefined
  await using store = openImageStore(context)
  const privateKey = await store.loadKey(place.cid)
  if (!privateKey) return undefined
  await requireWhole(blockstore, place.cid, { image, signal })
  const { bytes } = await readTreeManifest(blockstore, place.cid, signal ? { signal } : {})
  const { layers } = parseImageManifest(bytes)
  const plain = layers.findIndex(({ mediaType }) => !encryptedLayerCompression(mediaType))
  if (plain >= 0)
    throw new TrustedPodsError(
      'MANIFEST_IMAGE_INVALID',
      `layer ${plain} of ${image} is not encrypted, and providers take no such layer: publish it without --layers and --plain`,
    )
  const total = layers.reduce((sum, { size }) => sum + size, 0)
  return { cid: place.cid.bytes, privateKey, bytes: total, layers: layers.length }
}

/** Leaves are hashed when they are sent; that they are there is seen now, before money moves. */
async function requireWhole(
  blockstore: Blockstore,
  cid: CID,
  { image, signal }: { image: string; signal: AbortSignal | undefined },
): Promise<void> {
  if (!(await blockstore.has(cid)))
    throw new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `${image} is not whole here: block ${cid} is missing`)
  if (!isDagPb(cid)) return
  const { Links } = decodeDagPb(cid, await readBlock(blockstore, cid, signal))
  for (const { Hash } of Links) await requireWhole(blockstore, Hash, { image, signal })
}
