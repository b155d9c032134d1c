/**
 * The archive for `POST /images/load` that Docker (20.10 and later) and Podman both take: an OCI layout with uncompressed
 * layers and Docker's manifest.json into the same blobs. Spec: spec/IMAGES.md#load.
 */
import { createHash } from 'node:crypto'
import { CONFIG_TYPE, INDEX_TYPE, layerType, MANIFEST_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { type TarFile, tarFile, writeTar } from './tar-writer.ts'

export interface HybridArchiveOptions {
  /** Name under which the engine registers the image; absent: by its id alone. */
  readonly repoTag?: string | undefined
}

/**
 * Streams the layers as it is read. manifest.json is last: an engine that sees the stream break off before has registered nothing.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED in the middle of the stream where a layer no longer verifies.
 */
export function hybridArchive(image: OpenedImage, { repoTag }: HybridArchiveOptions): AsyncIterable<Uint8Array> {
  const config = descriptorOf(CONFIG_TYPE, image.config)
  const layers = image.layers.map(({ diffId, size }) => ({ mediaType: layerType('none'), digest: diffId, size }))
  const manifest = encodeJson({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers })
  const manifestDescriptor = descriptorOf(MANIFEST_TYPE, manifest)
  return writeTar([
    tarFile('oci-layout', encodeJson({ imageLayoutVersion: '1.0.0' })),
    ...layerFiles(image),
    tarFile(blobPath(config.digest), image.config),
    tarFile(blobPath(manifestDescriptor.digest), manifest),
    tarFile('index.json', encodeIndex(manifestDescriptor, repoTag)),
    tarFile('manifest.json', encodeDockerManifest(config.digest, image, repoTag)),
  ])
}

/** A layer that an image has twice is one blob. */
function layerFiles({ layers }: OpenedImage): TarFile[] {
  const once = new Map(layers.map((layer) => [layer.diffId, layer]))
  return [...once.values()].map((layer) => ({
    name: blobPath(layer.diffId),
    size: layer.size,
    content: () => layer.open(),
  }))
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** The containerd store reads the name from the first annotation, the OCI layout's own is the second. */
function encodeIndex(manifest: Descriptor, repoTag: string | undefined): Uint8Array {
  if (repoTag === undefined) return encodeJson({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [manifest] })
  const annotations = { 'io.containerd.image.name': repoTag, 'org.opencontainers.image.ref.name': tagOf(repoTag) }
  return encodeJson({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [{ ...manifest, annotations }] })
}

function encodeDockerManifest(configDigest: string, { layers }: OpenedImage, repoTag?: string): Uint8Array {
  return encodeJson([
    {
      Config: blobPath(configDigest),
      RepoTags: repoTag === undefined ? null : [repoTag],
      Layers: layers.map(({ diffId }) => blobPath(diffId)),
    },
  ])
}

function descriptorOf(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, size: bytes.length }
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

function tagOf(repoTag: string): string {
  return repoTag.slice(repoTag.lastIndexOf(':') + 1)
}

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
