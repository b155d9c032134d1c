/** Media types of manifests and indexes, OCI's and Docker's, and the OCI form of a Docker manifest. Pure. */
import { type JsonObject, parseJsonObject } from '@trusted-pods/protocol/image/json-object.ts'
import {
  CONFIG_TYPE,
  INDEX_TYPE,
  layerCompression,
  layerType,
  MANIFEST_TYPE,
} from '@trusted-pods/protocol/image/media-types.ts'

const DOCKER_MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json'
const DOCKER_INDEX_TYPE = 'application/vnd.docker.distribution.manifest.list.v2+json'
const DOCKER_CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json'

/** What we ask a registry for. */
export const ROOT_TYPES = [MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_INDEX_TYPE] as const

export function isManifestType(mediaType: string): boolean {
  return mediaType === MANIFEST_TYPE || mediaType === DOCKER_MANIFEST_TYPE
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === INDEX_TYPE || mediaType === DOCKER_INDEX_TYPE
}

/** An image manifest as OCI has it; one that is OCI already comes back as it was, byte for byte. */
export function toOciManifest(bytes: Uint8Array): Uint8Array {
  const manifest = parseJsonObject(bytes, 'image manifest')
  if (manifest.mediaType !== DOCKER_MANIFEST_TYPE) return bytes
  const { config, layers } = manifest
  return encodeJson({
    schemaVersion: manifest.schemaVersion,
    mediaType: MANIFEST_TYPE,
    config: retyped(config, (type) => (type === DOCKER_CONFIG_TYPE ? CONFIG_TYPE : type)),
    layers: Array.isArray(layers) ? layers.map((layer) => retyped(layer, ociLayerType)) : layers,
  })
}

/** Only the type changes: what is no descriptor is left to the strict parser. */
function retyped(descriptor: unknown, typeOf: (mediaType: string) => string): unknown {
  if (typeof descriptor !== 'object' || descriptor === null) return descriptor
  const { mediaType, digest, size } = descriptor as JsonObject
  return { mediaType: typeof mediaType === 'string' ? typeOf(mediaType) : mediaType, digest, size }
}

/** Docker's type as the OCI type of the same compression; others as they are. */
export function ociLayerType(mediaType: string): string {
  const compression = layerCompression(mediaType)
  return compression ? layerType(compression) : mediaType
}

export function encodeJson(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value))
}
