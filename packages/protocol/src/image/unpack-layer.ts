/** Ciphertext of a layer in, its uncompressed tar out, everything checked on the way. Spec: spec/IMAGES.md#verify. */
import { isDigestOf, toDigestText } from './digest.ts'
import type { Compression } from './media-types.ts'
import { decryptLayer, type LayerExpectation } from './ocicrypt/layer-cipher.ts'
import { refused } from './refused.ts'
import type { StreamCrypto } from './stream-crypto.ts'

/** Real layers stay below 20; gzip's own end is 1030. Below the free allowance a ratio says nothing. */
const MAX_RATIO = 100
const RATIO_FREE_BYTES = 16 * 1024 * 1024

export interface PackedLayer extends LayerExpectation {
  readonly compression: Compression
  /** sha256:<hex> of the uncompressed tar. */
  readonly diffId: string
}

export interface UnpackOptions {
  readonly crypto: StreamCrypto
  /** Longest uncompressed tar, bytes. */
  readonly maxBytes: number
}

/**
 * The tar, to be believed only when the stream has ended without an error.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED naming the check that failed.
 */
export async function* unpackLayer(
  ciphertext: AsyncIterable<Uint8Array>,
  layer: PackedLayer,
  { crypto, maxBytes }: UnpackOptions,
): AsyncGenerator<Uint8Array> {
  const reading: Reading = { finished: false }
  const packed = observe(decryptLayer(ciphertext, layer, crypto), reading)
  const digest = crypto.sha256()
  let size = 0
  for await (const chunk of decompress(packed, reading, { layer, crypto })) {
    size += chunk.length
    checkSize(size, layer, maxBytes)
    digest.update(chunk)
    yield chunk
  }
  if (!reading.finished) throw refused(`${layer.name}: bytes after the end of its ${layer.compression} stream`)
  const found = digest.digest()
  if (!isDigestOf(layer.diffId, found))
    throw refused(`${layer.name}: its tar is ${toDigestText(found)}, the config's diff_id says ${layer.diffId}`)
}

function checkSize(size: number, { name, size: packedSize }: PackedLayer, maxBytes: number): void {
  if (size > maxBytes) throw refused(`${name}: unpacks to over ${maxBytes} bytes, the most that is left for this image`)
  if (size > RATIO_FREE_BYTES && size > MAX_RATIO * packedSize)
    throw refused(`${name}: unpacks to over ${MAX_RATIO} times its ${packedSize} bytes`)
}

/** How far the source was read: a decompressor stops where its own stream does. */
interface Reading {
  finished: boolean
  failure?: { readonly error: unknown }
}

async function* observe(bytes: AsyncIterable<Uint8Array>, reading: Reading): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes
    reading.finished = true
  } catch (error) {
    reading.failure = { error }
    throw error
  }
}

async function* decompress(
  packed: AsyncIterable<Uint8Array>,
  reading: Reading,
  { layer: { compression, name }, crypto }: { layer: PackedLayer; crypto: StreamCrypto },
): AsyncGenerator<Uint8Array> {
  try {
    yield* decompressor(compression, crypto)(packed)
  } catch (error) {
    if (reading.failure) throw reading.failure.error
    throw refused(`${name}: its plaintext is not ${compression}`, error)
  }
}

function decompressor(compression: Compression, crypto: StreamCrypto): StreamCrypto['gunzip'] {
  switch (compression) {
    case 'none':
      return (bytes) => bytes
    case 'gzip':
      return (bytes) => crypto.gunzip(bytes)
    case 'zstd': {
      const { unzstd } = crypto
      if (!unzstd) throw refused('zstd layers cannot be unpacked on this platform')
      return (bytes) => unzstd(bytes)
    }
  }
}
