/** An image at any place as what is published: config and plain layers, each checked as it is read. Spec: spec/IMAGES.md#sources. */
import type { ImageSource, ImageSourceLayer } from '@trusted-pods/protocol/image/image-source.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { encryptedLayerCompression, layerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import { type Descriptor, parseImageConfig } from '@trusted-pods/protocol/image/oci-documents.ts'
import { checkedLayer } from './checked-layer.ts'
import { type ImageReader, openBlob, openSizedBlob, readDocument } from './image-reader.ts'
import { chooseImage, type ImageDocument, type PlatformOptions } from './image-root.ts'
import { asInvalidImage } from './invalid-image.ts'

/** A layer as a place has it. */
export interface PlacedLayer {
  /** Names the layer in refusals. */
  readonly name: string
  readonly descriptor: Descriptor
  /** sha256:<hex> of the uncompressed tar, as the config says. */
  readonly diffId: string
  /** As the source has it, size and digest checked. */
  open(): AsyncIterable<Uint8Array>
  /** The same, only its size checked: for whoever hashes these bytes anyhow, and compares. */
  openUnhashed(): AsyncIterable<Uint8Array>
}

/** Takes the reader over: disposing the source disposes it.
 * @throws TrustedPodsError MANIFEST_IMAGE_INVALID where it is no image of plain layers for the platform. */
export async function plainSource(reader: ImageReader, options: PlatformOptions = {}): Promise<ImageSource> {
  try {
    const image = await chooseImage(reader, options)
    const config = await readDocument(reader, image.manifest.config, options)
    const diffIds = await diffIdsOf(reader, config, image)
    const layers = image.manifest.layers.map((descriptor, i) =>
      sourceLayer({
        name: `${reader.name}: layer ${i}`,
        descriptor,
        diffId: diffIds[i] ?? '',
        open: () => openBlob(reader, descriptor, options),
        openUnhashed: () => openSizedBlob(reader, descriptor, options),
      }),
    )
    return {
      name: reader.name,
      config,
      layers,
      async [Symbol.asyncDispose]() {
        await reader[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await reader[Symbol.asyncDispose]()
    throw error
  }
}

/** One for each layer, bottom first. */
export async function diffIdsOf(
  { name }: ImageReader,
  config: Uint8Array,
  { manifest }: ImageDocument,
): Promise<readonly string[]> {
  const { diffIds } = await asInvalidImage(name, async () => parseImageConfig(config))
  if (diffIds.length !== manifest.layers.length)
    throw invalidImage(`${name} has ${manifest.layers.length} layers, its config ${diffIds.length} diff_ids`)
  return diffIds
}

/** A plain layer in the publisher's terms. Whatever the publisher hashes anyhow is not hashed here: a plain tar, and a compressed layer as it
 * lies. */
export function sourceLayer(layer: PlacedLayer): ImageSourceLayer {
  const { name, descriptor, diffId } = layer
  const { mediaType, digest, size } = descriptor
  const compression = layerCompression(mediaType)
  if (!compression) throw notPlain(name, mediaType)
  if (compression !== 'none')
    return {
      mediaType,
      size,
      digest,
      diffId,
      open: () => checkedLayer(layer.openUnhashed(), { ...layer, compression }),
    }
  return { mediaType, size, diffId, open: () => (digest === diffId ? layer.openUnhashed() : layer.open()) }
}

export function notPlain(name: string, mediaType: string): Error {
  return invalidImage(
    encryptedLayerCompression(mediaType)
      ? `${name} is encrypted already: trustedpods image decrypt opens it with its key`
      : `${name} has the media type ${mediaType.slice(0, 128)}, wanted a plain OCI or Docker layer`,
  )
}
