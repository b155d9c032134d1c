/** Opens an encrypted image in the strict order of spec/IMAGES.md#open: no byte of it leaves before every layer was verified. */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { parseTreeCid } from './block.ts'
import { readBlob, readTreeManifest, resolveBlob } from './image-tree.ts'
import { encryptedLayerCompression } from './media-types.ts'
import { type Descriptor, type ImageManifest, parseImageConfig, parseImageManifest } from './oci-documents.ts'
import { type ImageKey, importImageKey } from './ocicrypt/image-key.ts'
import { fromAnnotations } from './ocicrypt/layer-annotations.ts'
import type { OpenedImage, OpenedLayer } from './opened-image.ts'
import { refused } from './refused.ts'
import type { StreamCrypto } from './stream-crypto.ts'
import { streamFile } from './unixfs-read.ts'
import { type PackedLayer, unpackLayer } from './unpack-layer.ts'

export interface OpenLimits {
  /** All layers together as stored, bytes. */
  readonly encryptedBytes: number
  /** All layers together as uncompressed tars, bytes. */
  readonly unpackedBytes: number
}

export interface OpenOptions {
  /** Binary CIDv1 of the tree. */
  readonly cid: Uint8Array
  /** PKCS#8 DER; EC P-256, or RSA for images that others encrypted. */
  readonly privateKey: Uint8Array
  readonly crypto: StreamCrypto
  readonly limits: OpenLimits
  readonly signal?: AbortSignal
}

/** A layer whose key is known and whose ciphertext is found, not yet verified. */
interface LocatedLayer extends PackedLayer {
  readonly cid: CID
}

/**
 * The image with layers that can be streamed again; each later stream is checked anew and ends in an error on any mismatch.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED naming the check that failed; PROVISION_IMAGE_FETCH where a block is missing or damaged.
 */
export async function openImage(blockstore: Blockstore, options: OpenOptions): Promise<OpenedImage> {
  const root = parseTreeCid(options.cid)
  const { descriptor, bytes } = await readTreeManifest(blockstore, root, options)
  const manifest = parseImageManifest(bytes)
  checkLayers(manifest, options.limits)
  const config = await readBlob(blockstore, root, manifest.config, options)
  const { diffIds } = parseImageConfig(config)
  if (diffIds.length !== manifest.layers.length)
    throw refused(`the image manifest has ${manifest.layers.length} layers, the config ${diffIds.length} diff_ids`)
  const located = await locateLayers(blockstore, root, { manifest, diffIds, options })
  return { digest: descriptor.digest, config, layers: await verifyLayers(blockstore, located, options) }
}

/** Before any key is used: every layer is of an encrypted type, and all together fit. */
function checkLayers({ layers }: ImageManifest, limits: OpenLimits): void {
  const plain = layers.findIndex(({ mediaType }) => !encryptedLayerCompression(mediaType))
  if (plain >= 0)
    throw refused(
      `layer ${plain} has the media type ${layers[plain]?.mediaType.slice(0, 128)}, wanted an encrypted OCI layer`,
    )
  const total = layers.reduce((sum, { size }) => sum + size, 0)
  if (total > limits.encryptedBytes) throw refused(`the layers have ${total} bytes, at most ${limits.encryptedBytes}`)
}

interface Documents {
  manifest: ImageManifest
  diffIds: readonly string[]
  options: OpenOptions
}

async function locateLayers(blockstore: Blockstore, root: CID, documents: Documents): Promise<LocatedLayer[]> {
  const { manifest, diffIds, options } = documents
  const key = importImageKey(options.privateKey)
  const unwrapped: (Omit<LocatedLayer, 'cid'> & { descriptor: Descriptor })[] = []
  for (const [i, descriptor] of manifest.layers.entries())
    unwrapped.push({ ...(await unwrapLayer(descriptor, diffIds[i] ?? '', { name: `layer ${i}`, key })), descriptor })
  const located: LocatedLayer[] = []
  for (const { descriptor, ...layer } of unwrapped)
    located.push({ ...layer, cid: await resolveBlob(blockstore, root, descriptor.digest, options) })
  return located
}

async function unwrapLayer(
  { mediaType, digest, size, annotations }: Descriptor,
  diffId: string,
  { name, key }: { name: string; key: ImageKey },
): Promise<PackedLayer> {
  const compression = encryptedLayerCompression(mediaType)
  if (!compression) throw refused(`${name} is not encrypted`)
  return { name, digest, size, diffId, compression, ...(await fromAnnotations(annotations, key)) }
}

/** The pass that writes nothing: each layer is read to its end before the first is given out. */
async function verifyLayers(
  blockstore: Blockstore,
  layers: readonly LocatedLayer[],
  { crypto, limits, signal }: OpenOptions,
): Promise<OpenedLayer[]> {
  const opened: OpenedLayer[] = []
  let left = limits.unpackedBytes
  for (const layer of layers) {
    let size = 0
    for await (const chunk of unpack(blockstore, layer, { crypto, maxBytes: left, ...(signal && { signal }) }))
      size += chunk.length
    left -= size
    opened.push({ diffId: layer.diffId, size, open: () => unpack(blockstore, layer, { crypto, maxBytes: size }) })
  }
  return opened
}

interface UnpackOptions {
  crypto: StreamCrypto
  maxBytes: number
  signal?: AbortSignal
}

function unpack(
  blockstore: Blockstore,
  layer: LocatedLayer,
  { signal, ...options }: UnpackOptions,
): AsyncIterable<Uint8Array> {
  const ciphertext = streamFile(blockstore, layer.cid, { maxBytes: layer.size, ...(signal && { signal }) })
  return unpackLayer(ciphertext, layer, options)
}
