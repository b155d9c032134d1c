/** What an engine or a docker-archive holds, as an OCI image: the manifest that Docker's own format lacks is made here. */
import { createHash } from 'node:crypto'
import type { ImageSource, ImageSourceLayer } from '@trusted-pods/protocol/image/image-source.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { CONFIG_TYPE, layerCompression, MANIFEST_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import type { Blob, ImageReader } from './image-reader.ts'
import { encodeJson } from './manifest-types.ts'

/** Takes the source over: disposing the reader disposes it. */
export async function readSource(source: ImageSource): Promise<ImageReader> {
  try {
    return await describeSource(source)
  } catch (error) {
    await source[Symbol.asyncDispose]()
    throw error
  }
}

async function describeSource(source: ImageSource): Promise<ImageReader> {
  const layers: Blob[] = []
  const contents = new Map<string, () => AsyncIterable<Uint8Array>>()
  for (const layer of source.layers) {
    const blob = await layerBlob(layer)
    layers.push(blob)
    contents.set(blob.digest, () => layer.open())
  }
  const config = blobOf(CONFIG_TYPE, source.config)
  const manifest = encodeJson({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers })
  const root = blobOf(MANIFEST_TYPE, manifest)
  contents.set(config.digest, () => oneChunk(source.config)).set(root.digest, () => oneChunk(manifest))
  return {
    name: source.name,
    root,
    async *open({ digest }) {
      const content = contents.get(digest)
      if (!content) throw invalidImage(`${source.name} lacks the blob ${digest}`)
      yield* content()
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  }
}

/** A plain layer's digest is its diff_id, which whoever opened the source has checked. */
async function layerBlob({ mediaType, size, diffId, open }: ImageSourceLayer): Promise<Blob> {
  if (layerCompression(mediaType) === 'none' && size !== undefined) return { mediaType, digest: diffId, size }
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of open()) {
    hash.update(chunk)
    length += chunk.length
  }
  return { mediaType, digest: `sha256:${hash.digest('hex')}`, size: length }
}

function blobOf(mediaType: string, bytes: Uint8Array): Blob {
  return { mediaType, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, size: bytes.length }
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
