/**
 * The last look at what was written, by the way that a provider will take: nothing may go out whose every layer does not open with the
 * image's own key, and only with it. Spec: spec/IMAGES.md#publish.
 */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { equalBytes } from '../bytes.ts'
import { readTreeManifest, resolveBlob } from './image-tree.ts'
import { invalidImage } from './invalid-image.ts'
import { type Compression, encryptedLayerCompression } from './media-types.ts'
import { type Descriptor, parseImageManifest } from './oci-documents.ts'
import { importImageKey } from './ocicrypt/image-key.ts'
import { fromAnnotations } from './ocicrypt/layer-annotations.ts'
import type { PrivateOptions } from './ocicrypt/layer-options.ts'
import type { StreamCrypto } from './stream-crypto.ts'
import { streamFile } from './unixfs-read.ts'

export interface SelfCheckOptions {
  readonly privateKey: Uint8Array
  readonly crypto: StreamCrypto
  /** Layers that were published. */
  readonly layers: number
  /** Those of them, from 0, that were encrypted for this key; absent: all. */
  readonly encrypted?: ReadonlySet<number>
}

/** @throws TrustedPodsError MANIFEST_IMAGE_INVALID naming the layer that is not ciphertext for this key. */
export async function checkEncrypted(blockstore: Blockstore, root: CID, options: SelfCheckOptions): Promise<void> {
  const { layers } = parseImageManifest((await readTreeManifest(blockstore, root)).bytes)
  if (layers.length !== options.layers)
    throw invalidImage(`the written manifest has ${layers.length} layers, wanted ${options.layers}`)
  for (const [i, layer] of layers.entries())
    if (options.encrypted?.has(i) ?? true) await checkLayer(blockstore, root, { ...options, name: `layer ${i}`, layer })
}

async function checkLayer(
  blockstore: Blockstore,
  root: CID,
  { name, layer, privateKey, crypto }: SelfCheckOptions & { name: string; layer: Descriptor },
): Promise<void> {
  const { mediaType, digest, size, annotations } = layer
  if (!encryptedLayerCompression(mediaType)) throw notEncrypted(name, mediaType)
  const { privateOptions } = await fromAnnotations(annotations, importImageKey(privateKey))
  const cid = await resolveBlob(blockstore, root, digest)
  await checkCiphertext({ name, mediaType, size, cid, privateOptions }, { blockstore, crypto })
  privateOptions.symmetricKey.fill(0)
}

/** A layer as it was written, and the options that undo it. */
export interface WrittenLayer {
  /** Names it in refusals. */
  readonly name: string
  readonly mediaType: string
  readonly size: number
  readonly cid: CID
  readonly privateOptions: PrivateOptions
}

/** The first block is read back: undone by the layer's key, it must begin as its media type says; as it lies it must be something else.
 * (Its digest and MAC were made of the very bytes that were stored.) @throws as above. */
export async function checkCiphertext(
  { name, mediaType, size, cid, privateOptions: { symmetricKey, nonce } }: WrittenLayer,
  { blockstore, crypto }: { blockstore: Blockstore; crypto: StreamCrypto },
): Promise<void> {
  const compression = encryptedLayerCompression(mediaType)
  if (!compression) throw notEncrypted(name, mediaType)
  const stored = await firstBlock(blockstore, cid, size)
  const plain = crypto.aes256Ctr(symmetricKey, nonce).update(stored)
  const isCiphertext = begins(plain, compression) && !equalBytes(plain, stored)
  plain.fill(0)
  if (!isCiphertext)
    throw invalidImage(`${name}: what was stored is no ${compression} layer encrypted for the image's key`)
}

async function firstBlock(blockstore: Blockstore, cid: CID, maxBytes: number): Promise<Uint8Array> {
  for await (const block of streamFile(blockstore, cid, { maxBytes })) return block
  return new Uint8Array()
}

/** RFC 1952 §2.3.1, RFC 8878 §3.1; the latter's skippable frames begin zstd:chunked layers. */
function begins(bytes: Uint8Array, compression: Compression): boolean {
  const [a = 0, b = 0, c = 0, d = 0] = bytes
  switch (compression) {
    case 'none':
      return bytes.length > 0
    case 'gzip':
      return a === 0x1f && b === 0x8b
    case 'zstd':
      return (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) || ((a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d)
  }
}

function notEncrypted(name: string, mediaType: string): Error {
  return invalidImage(`${name} has the type ${mediaType}, which is not encrypted`)
}
