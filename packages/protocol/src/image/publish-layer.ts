/**
 * Encrypts one layer for its recipients straight into a blockstore, or takes it from the cache. Spec: spec/IMAGES.md#publish.
 * Streams: at most a few blocks are in memory at once.
 */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { isDigestOf, toDigestText } from './digest.ts'
import type { ImageSourceLayer } from './image-source.ts'
import type { StoredBlob } from './image-tree.ts'
import { invalidImage } from './invalid-image.ts'
import { findLayer, keepLayer, type LayerCache, type ReusedLayer } from './layer-cache.ts'
import { type Compression, encryptedLayerType, layerCompression } from './media-types.ts'
import { toAnnotations } from './ocicrypt/layer-annotations.ts'
import { encryptLayer } from './ocicrypt/layer-cipher.ts'
import { checkCiphertext } from './self-check.ts'
import type { StreamCrypto } from './stream-crypto.ts'
import { writeFileOfBlocks } from './unixfs-write.ts'

export interface PublishLayerOptions {
  readonly blockstore: Blockstore
  readonly crypto: StreamCrypto
  /** Layers of earlier publications; without it every layer is encrypted anew. */
  readonly cache?: LayerCache
  /** Whose keys open it, each of them alone. */
  readonly recipients: readonly CryptoKey[]
  readonly signal?: AbortSignal
  /** Called with the bytes of this layer so far. */
  readonly onBytes?: (bytes: number) => void
}

/** An encrypted layer on the blockstore and the descriptor that names it. */
export interface PublishedLayer {
  readonly blob: StoredBlob
  readonly descriptor: { mediaType: string; digest: string; size: number; annotations: Record<string, string> }
}

/** From the cache where it has the layer, else encrypted; wrapped for these recipients either way.
 * @throws TrustedPodsError MANIFEST_IMAGE_INVALID where the layer is not what its digests say, or no ciphertext came of it. */
export async function publishLayer(layer: ImageSourceLayer, options: PublishLayerOptions): Promise<PublishedLayer> {
  const { cache, recipients } = options
  const reused = cache && (await findLayer(cache, layer.diffId))
  if (reused) options.onBytes?.(reused.size)
  const written = reused ?? (await encryptAndKeep(layer, options))
  const { mediaType, digest, size, node, options: layerOptions } = written
  try {
    const { privateOptions } = layerOptions
    await checkCiphertext({ name: 'a layer', mediaType, size, cid: node.cid, privateOptions }, options)
    const annotations = await toAnnotations(layerOptions, recipients)
    return { blob: { digest, node }, descriptor: { mediaType, digest, size, annotations } }
  } finally {
    layerOptions.privateOptions.symmetricKey.fill(0)
  }
}

async function encryptAndKeep(layer: ImageSourceLayer, options: PublishLayerOptions): Promise<ReusedLayer> {
  const { crypto, blockstore, cache } = options
  const compression = layerCompression(layer.mediaType) ?? 'none'
  const packed = compression === 'none' ? packTar(checkDiffId(layer, crypto), crypto) : layer.open()
  const encryption = encryptLayer(observe(packed, options), crypto, { each: true })
  const blocks: CID[] = []
  const node = await writeFileOfBlocks(blockstore, encryption.blocks, { onBlock: (cid) => blocks.push(cid) })
  const { digest, size, ...layerOptions } = encryption.result()
  if (compression !== 'none') checkDigest(layer, layerOptions.privateOptions.digest)
  const mediaType = encryptedLayerType(packedCompression(compression, crypto))
  const written = { mediaType, digest, size, node, options: layerOptions }
  if (cache) await keepLayer(cache, layer.diffId, { ...written, blocks })
  return written
}

/** Plain tars are sent compressed: by zstd, which every provider reads and which costs a seventh of gzip's time. */
export function packedCompression(compression: Compression, { zstd }: StreamCrypto): Compression {
  if (compression !== 'none') return compression
  return zstd ? 'zstd' : 'gzip'
}

export function packTar(tar: AsyncIterable<Uint8Array>, crypto: StreamCrypto): AsyncIterable<Uint8Array> {
  return crypto.zstd ? crypto.zstd(tar) : crypto.gzip(tar)
}

async function* observe(bytes: AsyncIterable<Uint8Array>, options: PublishLayerOptions): AsyncGenerator<Uint8Array> {
  let length = 0
  for await (const chunk of bytes) {
    options.signal?.throwIfAborted()
    length += chunk.length
    yield chunk
    options.onBytes?.(length)
  }
}

/** A plain tar as it passes; compressed layers were checked by whoever opened the source. */
async function* checkDiffId(layer: ImageSourceLayer, crypto: StreamCrypto): AsyncGenerator<Uint8Array> {
  const digest = crypto.sha256()
  for await (const chunk of layer.open()) {
    digest.update(chunk)
    yield chunk
  }
  const found = digest.digest()
  if (!isDigestOf(layer.diffId, found))
    throw invalidImage(`a layer's tar is ${toDigestText(found)}, its diff_id says ${layer.diffId}`)
}

/** The digest of what was encrypted is part of its options: nobody need hash it twice. */
function checkDigest({ digest }: ImageSourceLayer, found: string): void {
  if (digest !== undefined && digest !== found) throw invalidImage(`a layer's blob ${digest} is ${found}`)
}
