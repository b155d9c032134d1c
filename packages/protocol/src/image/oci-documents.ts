/**
 * The three JSON documents of an image, read strictly: index, image manifest, config. What is not understood and could
 * change the meaning is refused. Spec: spec/IMAGES.md#documents. Pure.
 */
import { isDigestText } from './digest.ts'
import { refuseOtherReadings } from './go-json.ts'
import { asJsonArray, asJsonObject, type JsonObject, parseJsonObject } from './json-object.ts'
import { CONFIG_TYPE, INDEX_TYPE, MANIFEST_TYPE } from './media-types.ts'
import { refused } from './refused.ts'

/** The cap that Podman and containerd have too. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
/** overlayfs in Docker stops at 128 with the writable layer. */
export const MAX_LAYERS = 127
const MAX_ANNOTATIONS = 64

/** What we read of a config, or an engine acts on. */
const CONFIG_KEYS = {
  '': ['architecture', 'os', 'config', 'rootfs'],
  rootfs: ['type', 'diff_ids'],
  config: [
    'User',
    'ExposedPorts',
    'Env',
    'Entrypoint',
    'Cmd',
    'Volumes',
    'WorkingDir',
    'Labels',
    'StopSignal',
    'Healthcheck',
    'OnBuild',
  ],
}

export interface Descriptor {
  readonly mediaType: string
  /** sha256:<hex>. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
  readonly annotations: Readonly<Record<string, string>>
}

export interface ImageManifest {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface ImageConfig {
  /** sha256:<hex> of each uncompressed layer, bottom first. */
  readonly diffIds: readonly string[]
}

/** The one image of an index. @throws TrustedPodsError PROVISION_IMAGE_REFUSED for none, several, or an index in the index. */
export function parseIndex(bytes: Uint8Array): Descriptor {
  const index = parseDocument(bytes, 'index', INDEX_TYPE)
  const manifests = asJsonArray(index.manifests, 'index.manifests')
  if (manifests.length !== 1) throw refused(`the index has ${manifests.length} manifests, wanted one platform's`)
  const descriptor = parseDescriptor(manifests[0], 'index.manifests[0]')
  wantType(descriptor.mediaType, MANIFEST_TYPE, 'index.manifests[0]')
  return wantDocumentSize(descriptor, 'image manifest')
}

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED. Layer media types are left to the caller. */
export function parseImageManifest(bytes: Uint8Array): ImageManifest {
  const manifest = parseDocument(bytes, 'image manifest', MANIFEST_TYPE)
  const config = parseDescriptor(manifest.config, 'manifest.config')
  wantType(config.mediaType, CONFIG_TYPE, 'manifest.config')
  const layers = asJsonArray(manifest.layers, 'manifest.layers')
  if (layers.length === 0 || layers.length > MAX_LAYERS)
    throw refused(`the image manifest has ${layers.length} layers, wanted 1 to ${MAX_LAYERS}`)
  return {
    config: wantDocumentSize(config, 'image config'),
    layers: layers.map((layer, i) => parseDescriptor(layer, `manifest.layers[${i}]`)),
  }
}

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED where it is not a Linux image with a list of diff_ids. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  checkSize(bytes, 'image config')
  const config = parseJsonObject(bytes, 'image config')
  refuseOtherReadings(new TextDecoder().decode(bytes), CONFIG_KEYS, 'image config')
  wantType(config.os, 'linux', 'config.os')
  if (typeof config.architecture !== 'string' || config.architecture === '')
    throw refused('config.architecture is missing')
  const rootfs = asJsonObject(config.rootfs, 'config.rootfs')
  wantType(rootfs.type, 'layers', 'config.rootfs.type')
  const diffIds = asJsonArray(rootfs.diff_ids, 'config.rootfs.diff_ids')
  return { diffIds: diffIds.map((diffId, i) => wantDigest(diffId, `diff_ids[${i}]`)) }
}

function parseDocument(bytes: Uint8Array, name: string, mediaType: string): JsonObject {
  checkSize(bytes, name)
  const document = parseJsonObject(bytes, name)
  if (document.schemaVersion !== 2) throw refused(`${name}.schemaVersion is ${quote(document.schemaVersion)}, wanted 2`)
  if (document.mediaType !== undefined) wantType(document.mediaType, mediaType, `${name}.mediaType`)
  return document
}

function checkSize(bytes: Uint8Array, name: string): void {
  if (bytes.length > MAX_DOCUMENT_BYTES)
    throw refused(`${name} of ${bytes.length} bytes, at most ${MAX_DOCUMENT_BYTES}`)
}

/** One entry of a list of blobs; `name` names it in refusals. @throws TrustedPodsError PROVISION_IMAGE_REFUSED. */
export function parseDescriptor(value: unknown, name: string): Descriptor {
  const descriptor = asJsonObject(value, name)
  if (typeof descriptor.mediaType !== 'string') throw refused(`${name}.mediaType is missing`)
  return {
    mediaType: descriptor.mediaType,
    digest: wantDigest(descriptor.digest, `${name}.digest`),
    size: wantSize(descriptor.size, `${name}.size`),
    annotations: parseAnnotations(descriptor.annotations, `${name}.annotations`),
  }
}

function parseAnnotations(value: unknown, name: string): Record<string, string> {
  if (value === undefined || value === null) return {}
  const entries = Object.entries(asJsonObject(value, name))
  if (entries.length > MAX_ANNOTATIONS) throw refused(`${name} has ${entries.length}, at most ${MAX_ANNOTATIONS}`)
  return Object.fromEntries(
    entries.map(([key, text]) => {
      if (typeof text !== 'string') throw refused(`${name}: a value is not a string`)
      return [key, text]
    }),
  )
}

function wantDigest(value: unknown, name: string): string {
  if (!isDigestText(value)) throw refused(`${name} is ${quote(value)}, wanted sha256:<64 hex digits>`)
  return value
}

function wantSize(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw refused(`${name} is ${quote(value)}, wanted a length in bytes`)
  return value
}

function wantType(value: unknown, wanted: string, name: string): void {
  if (value !== wanted) throw refused(`${name} is ${quote(value)}, wanted ${wanted}`)
}

function wantDocumentSize(descriptor: Descriptor, name: string): Descriptor {
  if (descriptor.size > MAX_DOCUMENT_BYTES)
    throw refused(`${name} of ${descriptor.size} bytes, at most ${MAX_DOCUMENT_BYTES}`)
  return descriptor
}

/** What came from outside, bounded. */
function quote(value: unknown): string {
  return (JSON.stringify(value) ?? 'missing').slice(0, 128)
}
