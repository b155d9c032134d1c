/**
 * Encrypts an image and puts it on a blockstore as one UnixFS tree. Spec: spec/IMAGES.md#publish.
 * Streams: at most a few blocks of a layer are in memory at once.
 */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { TrustedPodsError } from '../errors.ts'
import { isDigestOf, toDigestText } from './digest.ts'
import type { ImageSource, ImageSourceLayer } from './image-source.ts'
import { type StoredBlob, writeBlob, writeImageTree } from './image-tree.ts'
import { findLayer, keepLayer, type LayerCache, type ReusedLayer } from './layer-cache.ts'
import { CONFIG_TYPE, type Compression, encryptedLayerType, layerCompression, MANIFEST_TYPE } from './media-types.ts'
import { parseImageConfig } from './oci-documents.ts'
import { generateImageKey } from './ocicrypt/image-key.ts'
import { toAnnotations } from './ocicrypt/layer-annotations.ts'
import { encryptLayer } from './ocicrypt/layer-cipher.ts'
import { type ConfigPrivacy, type ImageDefaults, toPublicConfig } from './public-config.ts'
import { checkEncrypted } from './self-check.ts'
import type { StreamCrypto } from './stream-crypto.ts'
import { writeFileOfBlocks } from './unixfs-write.ts'

export interface PublishedImage {
  /** Binary CIDv1 of the tree. */
  readonly cid: Uint8Array
  /** EC P-256 private key, PKCS#8 DER: opens the image. Secret. */
  readonly privateKey: Uint8Array
  /** All encrypted layers together, bytes. */
  readonly bytes: number
  readonly layers: number
  /** What the published config no longer says. */
  readonly defaults?: ImageDefaults
}

export interface PublishProgress {
  /** Layer under way, from 0. */
  readonly layer: number
  readonly layers: number
  /** Encrypted so far, over all layers, bytes. */
  readonly bytes: number
}

export interface PublishOptions {
  readonly blockstore: Blockstore
  readonly crypto: StreamCrypto
  /** Layers of earlier publications; without it every layer is encrypted anew. */
  readonly cache?: LayerCache
  /** Default: the config as it is. */
  readonly config?: ConfigPrivacy
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: PublishProgress) => void
}

/** An encrypted layer on the blockstore and the descriptor that names it. */
interface PublishedLayer {
  readonly blob: StoredBlob
  readonly descriptor: { mediaType: string; digest: string; size: number; annotations: Record<string, string> }
}

/**
 * Every layer is encrypted for a key pair made for this image alone. The config stays readable, as ocicrypt has it, less what is sealed.
 * @throws TrustedPodsError MANIFEST_IMAGE_INVALID where the source is no image of plain layers, or contradicts its config.
 */
export async function publishImage(source: ImageSource, options: PublishOptions): Promise<PublishedImage> {
  checkSource(source)
  const { blockstore } = options
  const key = await generateImageKey()
  const layers: PublishedLayer[] = []
  for (const layer of source.layers)
    layers.push(await publishLayer(layer, key.publicKey, progressOf(source, layers, options)))
  const shown = toPublicConfig(source.config, options.config ?? 'plain')
  const config = await writeBlob(blockstore, shown.config)
  const manifest = encodeManifest(config.digest, shown.config.length, layers)
  const { cid } = await writeImageTree(blockstore, manifest, [config, ...layers.map(({ blob }) => blob)])
  await checkEncrypted(blockstore, cid, { ...key, crypto: options.crypto, layers: layers.length })
  const { defaults } = shown
  const sizes = { bytes: totalBytes(layers), layers: layers.length }
  return { cid: cid.bytes, privateKey: key.privateKey, ...sizes, ...(defaults && { defaults }) }
}

interface LayerOptions extends PublishOptions {
  /** Called with the bytes of this layer so far. */
  readonly onLayerBytes: (bytes: number) => void
}

function progressOf(source: ImageSource, done: readonly PublishedLayer[], options: PublishOptions): LayerOptions {
  const [layer, before] = [done.length, totalBytes(done)]
  const onLayerBytes = (bytes: number) =>
    options.onProgress?.({ layer, layers: source.layers.length, bytes: before + bytes })
  return { ...options, onLayerBytes }
}

/** From the cache where it has the layer, else encrypted; wrapped for this image's key either way. */
async function publishLayer(
  layer: ImageSourceLayer,
  publicKey: CryptoKey,
  options: LayerOptions,
): Promise<PublishedLayer> {
  const { cache } = options
  const reused = cache && (await findLayer(cache, layer.diffId))
  if (reused) options.onLayerBytes(reused.size)
  const { mediaType, digest, size, node, options: layerOptions } = reused ?? (await encryptAndKeep(layer, options))
  const annotations = await toAnnotations(layerOptions, publicKey)
  layerOptions.privateOptions.symmetricKey.fill(0)
  return { blob: { digest, node }, descriptor: { mediaType, digest, size, annotations } }
}

async function encryptAndKeep(layer: ImageSourceLayer, options: LayerOptions): Promise<ReusedLayer> {
  const { crypto, blockstore, cache } = options
  const compression = layerCompression(layer.mediaType) ?? 'none'
  const packed = compression === 'none' ? pack(checkDiffId(layer, crypto), crypto) : layer.open()
  const encryption = encryptLayer(observe(packed, options), crypto, { each: true })
  const blocks: CID[] = []
  const node = await writeFileOfBlocks(blockstore, encryption.blocks, { onBlock: (cid) => blocks.push(cid) })
  const { digest, size, ...layerOptions } = encryption.result()
  const mediaType = encryptedLayerType(writtenCompression(compression, crypto))
  const written = { mediaType, digest, size, node, options: layerOptions }
  if (cache) await keepLayer(cache, layer.diffId, { ...written, blocks })
  return written
}

/** Plain tars are sent compressed: by zstd, which every provider reads and which costs a seventh of gzip's time. */
function writtenCompression(compression: Compression, { zstd }: StreamCrypto): Compression {
  if (compression !== 'none') return compression
  return zstd ? 'zstd' : 'gzip'
}

function pack(tar: AsyncIterable<Uint8Array>, crypto: StreamCrypto): AsyncIterable<Uint8Array> {
  return crypto.zstd ? crypto.zstd(tar) : crypto.gzip(tar)
}

async function* observe(bytes: AsyncIterable<Uint8Array>, options: LayerOptions): AsyncGenerator<Uint8Array> {
  let length = 0
  for await (const chunk of bytes) {
    options.signal?.throwIfAborted()
    length += chunk.length
    yield chunk
    options.onLayerBytes(length)
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
    throw invalid(`a layer's tar is ${toDigestText(found)}, its diff_id says ${layer.diffId}`)
}

function checkSource({ config, layers }: ImageSource): void {
  for (const { mediaType } of layers)
    if (!layerCompression(mediaType))
      throw invalid(`a layer has the media type ${mediaType}, wanted a plain OCI or Docker layer`)
  let diffIds: readonly string[]
  try {
    diffIds = parseImageConfig(config).diffIds
  } catch (cause) {
    throw invalid(`the image config cannot be published: ${cause instanceof Error ? cause.message : cause}`, cause)
  }
  if (layers.length === 0 || diffIds.length !== layers.length)
    throw invalid(`the image has ${layers.length} layers, its config ${diffIds.length} diff_ids`)
  const wrong = layers.findIndex(({ diffId }, i) => diffId !== diffIds[i])
  if (wrong >= 0) throw invalid(`layer ${wrong} is ${layers[wrong]?.diffId}, the config says ${diffIds[wrong]}`)
}

/** `mediaType` inside the manifest is what an IPDR server answers with. */
function encodeManifest(configDigest: string, configSize: number, layers: readonly PublishedLayer[]): Uint8Array {
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: configDigest, size: configSize },
    layers: layers.map(({ descriptor }) => descriptor),
  }
  return new TextEncoder().encode(JSON.stringify(manifest))
}

function totalBytes(layers: readonly PublishedLayer[]): number {
  return layers.reduce((total, { descriptor }) => total + descriptor.size, 0)
}

function invalid(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_INVALID', message, cause === undefined ? {} : { cause })
}
