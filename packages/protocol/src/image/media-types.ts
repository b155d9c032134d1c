/** OCI media types of an image, plain and encrypted, and what they say of a layer's compression. Spec: spec/IMAGES.md#layers. Pure. */

export const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
export const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'

export type Compression = 'none' | 'gzip' | 'zstd'

const ENCRYPTED = '+encrypted'

/** OCI types first: a compression's first entry is the type that is written. */
const LAYER_TYPES = new Map<string, Compression>([
  ['application/vnd.oci.image.layer.v1.tar', 'none'],
  ['application/vnd.oci.image.layer.v1.tar+gzip', 'gzip'],
  ['application/vnd.oci.image.layer.v1.tar+zstd', 'zstd'],
  ['application/vnd.docker.image.rootfs.diff.tar', 'none'],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'gzip'],
  ['application/vnd.docker.image.rootfs.diff.tar.zstd', 'zstd'],
])

/** Compression of a plain layer type; undefined where the type is not one of a plain layer. */
export function layerCompression(mediaType: string): Compression | undefined {
  return LAYER_TYPES.get(mediaType)
}

/** The OCI type of a plain layer with this compression. */
export function layerType(compression: Compression): string {
  return `application/vnd.oci.image.layer.v1.tar${compression === 'none' ? '' : `+${compression}`}`
}

/** The type that ocicrypt gives an encrypted layer. */
export function encryptedLayerType(compression: Compression): string {
  return layerType(compression) + ENCRYPTED
}

/** Compression of an encrypted OCI layer type; undefined where the type is not one of an encrypted layer. */
export function encryptedLayerCompression(mediaType: string): Compression | undefined {
  if (!mediaType.startsWith('application/vnd.oci.') || !mediaType.endsWith(ENCRYPTED)) return undefined
  return layerCompression(mediaType.slice(0, -ENCRYPTED.length))
}
