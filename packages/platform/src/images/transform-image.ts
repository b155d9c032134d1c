/**
 * An image from a reader to where its blobs go, each layer through a transformation: copied, encrypted or decrypted. Everything else
 * of it stays byte for byte where nothing below it has changed. Spec: spec/IMAGES.md#commands.
 */

import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { asJsonArray, parseJsonObject } from '@trusted-pods/protocol/image/json-object.ts'
import { INDEX_TYPE, MANIFEST_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import { type Descriptor, MAX_LAYERS, parseDescriptor } from '@trusted-pods/protocol/image/oci-documents.ts'
import type { BlobWriter } from './blob-writer.ts'
import { type Blob, type ImageReader, openBlob, openSizedBlob, readDocument } from './image-reader.ts'
import {
  chooseImage,
  type ImageDocument,
  type ImageIndex,
  type IndexEntry,
  type PlatformOptions,
  REFERENCE_DIGEST,
  readImage,
  readRoot,
} from './image-root.ts'
import { asInvalidImage } from './invalid-image.ts'
import { encodeJson } from './manifest-types.ts'
import { diffIdsOf, type PlacedLayer } from './plain-source.ts'

/** A layer on its way. */
export interface LayerInput extends PlacedLayer {
  /** Where in the image it stands, from 0: an image may have a layer several times. */
  readonly positions: readonly number[]
  /** Layers of the image. */
  readonly count: number
}

export interface LayerOutput extends Blob {
  readonly annotations?: Readonly<Record<string, string>>
}

/** Puts the layer where the image goes and says how it is described there. */
export type LayerTransform = (layer: LayerInput, blobs: BlobWriter) => Promise<LayerOutput>

export interface TransformOptions extends PlatformOptions {
  readonly transform: LayerTransform
  /** Every platform and the attestations, rather than one image. */
  readonly all?: boolean
  /** What takes the place of a config; absent: it stays as it is. */
  readonly config?: (config: Uint8Array) => Uint8Array
  /** Called with the source's bytes that were read of a layer so far. */
  readonly onProgress?: (progress: TransformProgress) => void
}

export interface TransformProgress {
  /** Layer under way, from 0, in its image. */
  readonly layer: number
  readonly layers: number
  /** Of this layer, bytes. */
  readonly bytes: number
}

/** Layers that platforms share are transformed once and stay shared. */
type Done = Map<string, LayerOutput>

/** @returns the descriptor of what is there now: an image manifest, or an index with `all`. */
export async function transformImage(reader: ImageReader, blobs: BlobWriter, options: TransformOptions): Promise<Blob> {
  const done: Done = new Map()
  if (!options.all) return transformOne(reader, blobs, { ...options, done, image: await chooseImage(reader, options) })
  const root = await readRoot(reader, options)
  if (root.kind === 'image') return transformOne(reader, blobs, { ...options, done, image: root.image })
  return transformIndex(reader, blobs, { ...options, done, index: root.index })
}

async function transformIndex(
  reader: ImageReader,
  blobs: BlobWriter,
  { index, ...options }: TransformOptions & { done: Done; index: ImageIndex },
): Promise<Blob> {
  const moved = new Map<string, Blob>()
  for (const entry of index.entries) {
    if (entry.isAttestation) moved.set(entry.descriptor.digest, await copyAttestation(reader, blobs, entry, options))
    else {
      const image = await readImage(reader, entry.descriptor, options)
      moved.set(entry.descriptor.digest, await transformOne(reader, blobs, { ...options, image }))
    }
  }
  const manifests = index.entries.map((entry) => movedEntry(entry, moved))
  return blobs.putDocument(INDEX_TYPE, encodeJson({ ...index.json, mediaType: INDEX_TYPE, manifests }))
}

/** An attestation goes on speaking of the image that has taken the place of its own. */
function movedEntry({ json, descriptor: { digest, annotations } }: IndexEntry, moved: ReadonlyMap<string, Blob>) {
  const target = moved.get(annotations[REFERENCE_DIGEST] ?? '')
  const changed = target ? { annotations: { ...annotations, [REFERENCE_DIGEST]: target.digest } } : {}
  return { ...json, ...moved.get(digest), ...changed }
}

async function transformOne(
  reader: ImageReader,
  blobs: BlobWriter,
  options: TransformOptions & { done: Done; image: ImageDocument },
): Promise<Blob> {
  const { image, signal } = options
  const config = await readDocument(reader, image.manifest.config, { signal })
  const diffIds = await diffIdsOf(reader, config, image)
  const shown = await asInvalidImage(reader.name, async () => options.config?.(config) ?? config)
  const written = await blobs.putDocument(image.manifest.config.mediaType, shown)
  const layers: LayerOutput[] = []
  for (const [i, descriptor] of image.manifest.layers.entries())
    layers.push(await transformLayer(reader, blobs, { ...options, descriptor, diffIds, index: i }))
  return blobs.putDocument(MANIFEST_TYPE, encodeManifest(image, written, layers))
}

interface LayerOptions extends TransformOptions {
  done: Done
  image: ImageDocument
  descriptor: Descriptor
  diffIds: readonly string[]
  index: number
}

async function transformLayer(
  reader: ImageReader,
  blobs: BlobWriter,
  { done, image, descriptor, diffIds, index, transform, signal, onProgress }: LayerOptions,
): Promise<LayerOutput> {
  const diffId = diffIds[index] ?? ''
  const key = JSON.stringify([descriptor, diffId])
  const before = done.get(key)
  if (before) return before
  signal?.throwIfAborted()
  const tell = (bytes: number) => onProgress?.({ layer: index, layers: image.manifest.layers.length, bytes })
  const open = () => told(openBlob(reader, descriptor, { signal }), tell)
  const openUnhashed = () => told(openSizedBlob(reader, descriptor, { signal }), tell)
  const name = `${reader.name}: layer ${index}`
  const count = image.manifest.layers.length
  const positions = diffIds.flatMap((each, i) => (each === diffId ? [i] : []))
  const output = await transform({ name, descriptor, diffId, positions, count, open, openUnhashed }, blobs)
  done.set(key, output)
  return output
}

async function* told(content: AsyncIterable<Uint8Array>, tell: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of content) {
    bytes += chunk.length
    yield chunk
    tell(bytes)
  }
}

/** Byte for byte the source's where neither config nor layer has changed. */
function encodeManifest(
  { bytes, json, manifest }: ImageDocument,
  config: Blob,
  layers: readonly LayerOutput[],
): Uint8Array {
  const isSame = config.digest === manifest.config.digest && JSON.stringify(layers) === JSON.stringify(manifest.layers)
  if (isSame) return bytes
  const { digest, size } = config
  return encodeJson({ ...json, mediaType: MANIFEST_TYPE, config: { ...Object(json.config), digest, size }, layers })
}

/** Manifest and blobs as they are: in-toto statements are no image. */
async function copyAttestation(
  reader: ImageReader,
  blobs: BlobWriter,
  { descriptor }: IndexEntry,
  { signal }: TransformOptions,
): Promise<Blob> {
  const bytes = await readDocument(reader, descriptor, { signal })
  const named = await asInvalidImage(reader.name, async () => attestationBlobs(bytes))
  for (const blob of named)
    if (!(await blobs.has(blob.digest))) await blobs.put(openBlob(reader, blob, { signal }), { signal })
  const { digest, size } = await blobs.putDocument(descriptor.mediaType, bytes)
  return { mediaType: descriptor.mediaType, digest, size }
}

function attestationBlobs(bytes: Uint8Array): Descriptor[] {
  const { config, layers } = parseJsonObject(bytes, 'attestation manifest')
  const list = asJsonArray(layers, 'attestation layers')
  if (list.length > MAX_LAYERS) throw invalidImage(`an attestation has ${list.length} layers, at most ${MAX_LAYERS}`)
  return [config, ...list].map((blob, i) => parseDescriptor(blob, `attestation blob ${i}`))
}
