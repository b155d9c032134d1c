/** An image at any place as what is published: config and plain layers, each checked as it is read. Spec: spec/IMAGES.md#sources. */
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import { layerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import { type Descriptor, parseImageConfig } from '@trusted-pods/protocol/image/oci-documents.ts'
import { checkedLayer } from './checked-layer.ts'
import { type ImageReader, openBlob, readDocument } from './image-reader.ts'
import { chooseImage, type ImageDocument, type PlatformOptions } from './image-root.ts'
import { asInvalidImage, invalidImage } from './invalid-image.ts'

/** Takes the reader over: disposing the source disposes it.
 * @throws TrustedPodsError MANIFEST_IMAGE_INVALID where it is no image of plain layers for the platform. */
export async function plainSource(reader: ImageReader, options: PlatformOptions = {}): Promise<ImageSource> {
  try {
    const image = await chooseImage(reader, options)
    const config = await readDocument(reader, image.manifest.config, options)
    const diffIds = await diffIdsOf(reader, config, image)
    const layers = image.manifest.layers.map((layer, i) =>
      sourceLayer(reader, layer, { diffId: diffIds[i] ?? '', name: `${reader.name}: layer ${i}`, ...options }),
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

function sourceLayer(
  reader: ImageReader,
  layer: Descriptor,
  { diffId, name, signal }: PlatformOptions & { diffId: string; name: string },
) {
  const compression = layerCompression(layer.mediaType)
  if (!compression)
    throw invalidImage(
      layer.mediaType.endsWith('+encrypted')
        ? `${name} is encrypted already: trustedpods image decrypt opens it with its key`
        : `${name} has the media type ${layer.mediaType.slice(0, 128)}, wanted a plain OCI or Docker layer`,
    )
  const open = () => checkedLayer(openBlob(reader, layer, { signal }), { name, compression, diffId })
  return { mediaType: layer.mediaType, size: layer.size, diffId, open }
}
