/** What is done to each layer: copied as it is, encrypted for recipients, or decrypted with a key. Spec: spec/IMAGES.md#commands. */
import {
  encryptedLayerCompression,
  encryptedLayerType,
  layerCompression,
  layerType,
} from '@trusted-pods/protocol/image/media-types.ts'
import { importImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import {
  fromAnnotations,
  JWE_ANNOTATION,
  toAnnotations,
} from '@trusted-pods/protocol/image/ocicrypt/layer-annotations.ts'
import { decryptLayer, encryptLayer } from '@trusted-pods/protocol/image/ocicrypt/layer-cipher.ts'
import { bytesOf } from '@trusted-pods/protocol/image/to-blocks.ts'
import { nodeStreamCrypto } from '../stream-crypto.ts'
import { checkedLayer } from './checked-layer.ts'
import { checkBlobDigest } from './image-reader.ts'
import { asInvalidImage, invalidImage } from './invalid-image.ts'
import { ociLayerType } from './manifest-types.ts'
import type { LayerInput, LayerTransform } from './transform-image.ts'

/** All annotations of ocicrypt, of schemes that we do not read too. */
const ENCRYPTION_ANNOTATIONS = 'org.opencontainers.image.enc.'

/** Not one byte of the image changes. */
export const copyLayer: LayerTransform = async (layer, stage) => {
  const { digest } = layer.descriptor
  if (!(await stage.has(digest))) await stage.put(layer.open(), { digest: () => digest })
  return layer.descriptor
}

/** Plain tars are gzipped first; compressed layers are encrypted as they are. */
export function encryptFor(recipients: readonly CryptoKey[]): LayerTransform {
  return async (layer, stage) => {
    const compression = layerCompression(layer.descriptor.mediaType)
    if (!compression) throw notPlain(layer)
    const { digest: sourceDigest } = layer.descriptor
    // Either of the digests that are computed further on is the source's.
    const isHashedLater = compression !== 'none' || sourceDigest === layer.diffId
    const bytes = isHashedLater ? layer.openUnhashed() : layer.open()
    const checked = checkedLayer(bytes, { ...layer, compression })
    const packed = compression === 'none' ? nodeStreamCrypto.gzip(checked) : checked
    const encryption = encryptLayer(packed, nodeStreamCrypto)
    const { digest, size } = await stage.put(bytesOf(encryption.blocks), { digest: () => encryption.result().digest })
    const { publicOptions, privateOptions } = encryption.result()
    if (compression !== 'none') checkBlobDigest(layer.name, layer.descriptor, privateOptions.digest)
    const annotations = {
      ...layer.descriptor.annotations,
      ...(await wrapped({ publicOptions, privateOptions }, recipients)),
    }
    privateOptions.symmetricKey.fill(0)
    return { mediaType: encryptedLayerType(compression === 'none' ? 'gzip' : compression), digest, size, annotations }
  }
}

type LayerOptions = Parameters<typeof toAnnotations>[0]

/** One packet for each recipient: ocicrypt tries them one after the other, and so do we. */
async function wrapped(options: LayerOptions, recipients: readonly CryptoKey[]): Promise<Record<string, string>> {
  const each: Record<string, string>[] = []
  for (const recipient of recipients) each.push(await toAnnotations(options, recipient))
  return { ...each[0], [JWE_ANNOTATION]: each.map((annotations) => annotations[JWE_ANNOTATION]).join(',') }
}

function notPlain({ name, descriptor: { mediaType } }: LayerInput): Error {
  return invalidImage(
    encryptedLayerCompression(mediaType)
      ? `${name} is encrypted already`
      : `${name} has the media type ${mediaType.slice(0, 128)}, wanted a plain OCI or Docker layer`,
  )
}

/** Plain layers stay as they are.
 * @param privateKey PKCS#8 DER. */
export function decryptWith(privateKey: Uint8Array): LayerTransform {
  const key = importImageKey(privateKey)
  return async (layer, stage) => {
    const { digest, size, mediaType, annotations } = layer.descriptor
    const compression = encryptedLayerCompression(mediaType)
    if (!compression) return copyPlain(layer, stage)
    return asInvalidImage(layer.name, async () => {
      const options = await fromAnnotations(annotations, key)
      const expected = { name: 'the layer', digest, size, diffId: layer.diffId, ...options }
      const packed = decryptLayer(layer.openUnhashed(), expected, nodeStreamCrypto)
      const known = options.privateOptions.digest
      // Where it is that of the tar, decryptLayer has not compared it with what it gives.
      const hashed = known === layer.diffId ? {} : { digest: () => known }
      const written = await stage.put(checkedLayer(packed, { ...layer, compression }), hashed)
      options.privateOptions.symmetricKey.fill(0)
      return { mediaType: layerType(compression), ...written, ...plainAnnotations(annotations) }
    })
  }
}

/** Plain, checked against its diff_id, under OCI's name of its type. */
export const copyPlain: LayerTransform = async (layer, stage) => {
  const compression = layerCompression(layer.descriptor.mediaType)
  if (!compression) throw notPlain(layer)
  const written = await stage.put(checkedLayer(layer.open(), { ...layer, compression }))
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
