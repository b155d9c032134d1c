/**
 * The last look at what was written, by the way that a provider will take: nothing may go out whose every layer does not open with the
 * image's own key, and only with it. Spec: spec/IMAGES.md#publish.
 */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { equalBytes } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import { readTreeManifest, resolveBlob } from './image-tree.ts'
import { type Compression, encryptedLayerCompression } from './media-types.ts'
import { type Descriptor, parseImageManifest } from './oci-documents.ts'
import { importImageKey } from './ocicrypt/image-key.ts'
import { fromAnnotations } from './ocicrypt/layer-annotations.ts'
import type { StreamCrypto } from './stream-crypto.ts'
import { streamFile } from './unixfs-read.ts'

export interface SelfCheckOptions {
  readonly privateKey: Uint8Array
  readonly crypto: StreamCrypto
  /** Layers that were published. */
  readonly layers: number
}

/** @throws TrustedPodsError MANIFEST_IMAGE_INVALID naming the layer that is not ciphertext for this key. */
export async function checkEncrypted(blockstore: Blockstore, root: CID, options: SelfCheckOptions): Promise<void> {
  const { layers } = parseImageManifest((await readTreeManifest(blockstore, root)).bytes)
  if (layers.length !== options.layers)
    throw invalid(`the written manifest has ${layers.length} layers, wanted ${options.layers}`)
  for (const [i, layer] of layers.entries())
    await checkLayer(blockstore, root, { ...options, name: `layer ${i}`, layer })
}

/** The first block is read back: undone by the key that travels, it must begin as its media type says; as it lies it must be something else.
 * (Its digest and MAC were made of the very bytes that were stored.) */
async function checkLayer(
  blockstore: Blockstore,
  root: CID,
  { name, layer, privateKey, crypto }: SelfCheckOptions & { name: string; layer: Descriptor },
): Promise<void> {
  const compression = encryptedLayerCompression(layer.mediaType)
  if (!compression) throw invalid(`${name} has the type ${layer.mediaType}, which is not encrypted`)
  const { symmetricKey, nonce } = (await fromAnnotations(layer.annotations, importImageKey(privateKey))).privateOptions
  const stored = await firstBlock(blockstore, root, layer)
  const plain = crypto.aes256Ctr(symmetricKey, nonce).update(stored)
  symmetricKey.fill(0)
  const isCiphertext = begins(plain, compression) && !equalBytes(plain, stored)
  plain.fill(0)
  if (!isCiphertext) throw invalid(`${name}: what was stored is no ${compression} layer encrypted for the image's key`)
}

async function firstBlock(blockstore: Blockstore, root: CID, { digest, size }: Descriptor): Promise<Uint8Array> {
  const cid = await resolveBlob(blockstore, root, digest)
  for await (const block of streamFile(blockstore, cid, { maxBytes: size })) return block
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

function invalid(message: string): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_INVALID', message)
}
