/**
 * Encrypts an image and puts it on a blockstore as one UnixFS tree. Spec: spec/IMAGES.md#publish.
 */
import type { ImageSource } from './image-source.ts'
import { writeBlob, writeImageTree } from './image-tree.ts'
import { invalidImage } from './invalid-image.ts'
import { CONFIG_TYPE, layerCompression, MANIFEST_TYPE } from './media-types.ts'
import { parseImageConfig } from './oci-documents.ts'
import { generateImageKey } from './ocicrypt/image-key.ts'
import { type ConfigPrivacy, type ImageDefaults, toPublicConfig } from './public-config.ts'
import { type PublishedLayer, type PublishLayerOptions, publishLayer } from './publish-layer.ts'
import { checkEncrypted } from './self-check.ts'

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

export interface PublishOptions extends Omit<PublishLayerOptions, 'recipients' | 'onBytes'> {
  /** Default: the config as it is. */
  readonly config?: ConfigPrivacy
  readonly onProgress?: (progress: PublishProgress) => void
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
    layers.push(
      await publishLayer(layer, {
        ...options,
        recipients: [key.publicKey],
        onBytes: progressOf(source, layers, options),
      }),
    )
  const shown = toPublicConfig(source.config, options.config ?? 'plain')
  const config = await writeBlob(blockstore, shown.config)
  const manifest = encodeManifest(config.digest, shown.config.length, layers)
  const { cid } = await writeImageTree(blockstore, manifest, [config, ...layers.map(({ blob }) => blob)])
  await checkEncrypted(blockstore, cid, { ...key, crypto: options.crypto, layers: layers.length })
  const { defaults } = shown
  const sizes = { bytes: totalBytes(layers), layers: layers.length }
  return { cid: cid.bytes, privateKey: key.privateKey, ...sizes, ...(defaults && { defaults }) }
}

function progressOf(source: ImageSource, done: readonly PublishedLayer[], { onProgress }: PublishOptions) {
  const [layer, before] = [done.length, totalBytes(done)]
  return (bytes: number) => onProgress?.({ layer, layers: source.layers.length, bytes: before + bytes })
}

function checkSource({ config, layers }: ImageSource): void {
  for (const { mediaType } of layers)
    if (!layerCompression(mediaType))
      throw invalidImage(`a layer has the media type ${mediaType}, wanted a plain OCI or Docker layer`)
  let diffIds: readonly string[]
  try {
    diffIds = parseImageConfig(config).diffIds
  } catch (cause) {
    throw invalidImage(`the image config cannot be published: ${cause instanceof Error ? cause.message : cause}`, cause)
  }
  if (layers.length === 0 || diffIds.length !== layers.length)
    throw invalidImage(`the image has ${layers.length} layers, its config ${diffIds.length} diff_ids`)
  const wrong = layers.findIndex(({ diffId }, i) => diffId !== diffIds[i])
  if (wrong >= 0) throw invalidImage(`layer ${wrong} is ${layers[wrong]?.diffId}, the config says ${diffIds[wrong]}`)
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
