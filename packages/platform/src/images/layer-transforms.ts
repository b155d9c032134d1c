/** What is done to each layer: copied as it is, encrypted for recipients, or decrypted with a key. Spec: spec/IMAGES.md#commands. */
import {
  encryptedLayerCompression,
  encryptedLayerType,
  layerCompression,
  layerType,
} from '@trusted-pods/protocol/image/media-types.ts'
import { importImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { fromAnnotations, toAnnotations } from '@trusted-pods/protocol/image/ocicrypt/layer-annotations.ts'
import { decryptLayer, encryptLayer } from '@trusted-pods/protocol/image/ocicrypt/layer-cipher.ts'
import {
  type PublishLayerOptions,
  packedCompression,
  packTar,
  publishLayer,
} from '@trusted-pods/protocol/image/publish-layer.ts'
import { bytesOf } from '@trusted-pods/protocol/image/to-blocks.ts'
import { nodeStreamCrypto } from '../stream-crypto.ts'
import { checkedLayer } from './checked-layer.ts'
import { checkBlobDigest } from './image-reader.ts'
import { asInvalidImage } from './invalid-image.ts'
import { ociLayerType } from './manifest-types.ts'
import { notPlain, sourceLayer } from './plain-source.ts'
import type { LayerTransform } from './transform-image.ts'
import type { TreeBlobs } from './tree-blobs.ts'

/** All annotations of ocicrypt, of schemes that we do not read too. */
const ENCRYPTION_ANNOTATIONS = 'org.opencontainers.image.enc.'

/** Not one byte of the image changes. */
export const copyLayer: LayerTransform = async (layer, blobs) => {
  const { digest } = layer.descriptor
  if (!(await blobs.has(digest))) await blobs.put(layer.open(), { digest: () => digest })
  return layer.descriptor
}

/** What plain tars are compressed by. */
export type TarFormat = 'gzip' | 'zstd'

/** Plain tars are compressed first; compressed layers are encrypted as they are. */
export function encryptFor(recipients: readonly CryptoKey[], tarFormat: TarFormat = 'zstd'): LayerTransform {
  const { zstd: _, ...withoutZstd } = nodeStreamCrypto
  const packing = tarFormat === 'zstd' ? nodeStreamCrypto : withoutZstd
  return async (layer, blobs) => {
    const compression = layerCompression(layer.descriptor.mediaType)
    if (!compression) throw notPlain(layer.name, layer.descriptor.mediaType)
    const { digest: sourceDigest } = layer.descriptor
    // Either of the digests that are computed further on is the source's.
    const isHashedLater = compression !== 'none' || sourceDigest === layer.diffId
    const bytes = isHashedLater ? layer.openUnhashed() : layer.open()
    const checked = checkedLayer(bytes, { ...layer, compression })
    const packed = compression === 'none' ? packTar(checked, packing) : checked
    const encryption = encryptLayer(packed, nodeStreamCrypto)
    const { digest, size } = await blobs.put(bytesOf(encryption.blocks), { digest: () => encryption.result().digest })
    const { publicOptions, privateOptions } = encryption.result()
    if (compression !== 'none') checkBlobDigest(layer.name, layer.descriptor, privateOptions.digest)
    const annotations = {
      ...layer.descriptor.annotations,
      ...(await toAnnotations({ publicOptions, privateOptions }, recipients)),
    }
    privateOptions.symmetricKey.fill(0)
    const mediaType = encryptedLayerType(packedCompression(compression, packing))
    return { mediaType, digest, size, annotations }
  }
}

/** The same straight into the blockstore below `blobs`, by way of the cache. */
export function publishFor(blobs: TreeBlobs, options: Omit<PublishLayerOptions, 'crypto'>): LayerTransform {
  return async (layer) => {
    const source = sourceLayer(layer)
    const { blob, descriptor } = await publishLayer(source, { ...options, crypto: nodeStreamCrypto })
    blobs.add(blob)
    return { ...descriptor, annotations: { ...layer.descriptor.annotations, ...descriptor.annotations } }
  }
}

/** Plain layers stay as they are.
 * @param privateKey PKCS#8 DER. */
export function decryptWith(privateKey: Uint8Array): LayerTransform {
  const key = importImageKey(privateKey)
  return async (layer, blobs) => {
    const { digest, size, mediaType, annotations } = layer.descriptor
    const compression = encryptedLayerCompression(mediaType)
    if (!compression) return copyPlain(layer, blobs)
    return asInvalidImage(layer.name, async () => {
      const options = await fromAnnotations(annotations, key)
      const expected = { name: 'the layer', digest, size, diffId: layer.diffId, ...options }
      const packed = decryptLayer(layer.openUnhashed(), expected, nodeStreamCrypto)
      const known = options.privateOptions.digest
      // Where it is that of the tar, decryptLayer has not compared it with what it gives.
      const hashed = known === layer.diffId ? {} : { digest: () => known }
      const written = await blobs.put(checkedLayer(packed, { ...layer, compression }), hashed)
      options.privateOptions.symmetricKey.fill(0)
      return { mediaType: layerType(compression), ...written, ...plainAnnotations(annotations) }
    })
  }
}

/** Plain, checked against its diff_id, under OCI's name of its type. */
export const copyPlain: LayerTransform = async (layer, blobs) => {
  const compression = layerCompression(layer.descriptor.mediaType)
  if (!compression) throw notPlain(layer.name, layer.descriptor.mediaType)
  const written = await blobs.put(checkedLayer(layer.open(), { ...layer, compression }))
  return {
    mediaType: ociLayerType(layer.descriptor.mediaType),
    ...written,
    ...plainAnnotations(layer.descriptor.annotations),
  }
}

function plainAnnotations(annotations: Readonly<Record<string, string>>) {
  const kept = Object.entries(annotations).filter(([name]) => !name.startsWith(ENCRYPTION_ANNOTATIONS))
  return kept.length > 0 ? { annotations: Object.fromEntries(kept) } : {}
}
