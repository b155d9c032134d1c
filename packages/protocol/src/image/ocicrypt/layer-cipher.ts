/**
 * The layer cipher of ocicrypt, streaming: AES-256-CTR, then HMAC-SHA256 over the ciphertext under the same key.
 * Spec: spec/IMAGES.md#cipher.
 */
import { equalBytes } from '../../bytes.ts'
import { isDigestOf, toDigestText } from '../digest.ts'
import { PassingDigests } from '../passing-digests.ts'
import { refused } from '../refused.ts'
import {
  type CiphertextDigestOptions,
  type DigestedBlock,
  digestAhead,
  openCiphertextDigests,
  type StreamCipher,
  type StreamCrypto,
  type StreamDigest,
} from '../stream-crypto.ts'
import { toBlocks } from '../to-blocks.ts'
import { NONCE_BYTES, type PrivateOptions, type PublicOptions, SYMMETRIC_KEY_BYTES } from './layer-options.ts'

/** Known only when the last byte has gone through. */
export interface EncryptedLayerResult {
  readonly privateOptions: PrivateOptions
  readonly publicOptions: PublicOptions
  /** sha256:<hex> of the ciphertext. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
}

export interface LayerEncryption {
  /** The ciphertext in blocks of BLOCK_BYTES, the last one shorter; to be read once. */
  readonly blocks: AsyncIterable<DigestedBlock>
  /** To be called after the last block. */
  result(): EncryptedLayerResult
}

/** Encrypts with a fresh key and nonce. */
export function encryptLayer(
  plaintext: AsyncIterable<Uint8Array>,
  crypto: StreamCrypto,
  options: CiphertextDigestOptions = { each: false },
): LayerEncryption {
  const symmetricKey = randomBytes(SYMMETRIC_KEY_BYTES)
  const nonce = randomBytes(NONCE_BYTES)
  let result: EncryptedLayerResult | undefined
  async function* encrypt(): AsyncGenerator<DigestedBlock> {
    const plainDigest = crypto.sha256()
    using digests = openCiphertextDigests(crypto, symmetricKey, options)
    let size = 0
    const ciphertext = transform(plaintext, { digest: plainDigest, cipher: crypto.aes256Ctr(symmetricKey, nonce) })
    for await (const block of digestAhead(toBlocks(ciphertext), digests)) {
      size += block.bytes.length
      yield block
    }
    const { sha256, hmac } = await digests.finish()
    result = {
      privateOptions: { symmetricKey, nonce, digest: toDigestText(plainDigest.digest()) },
      publicOptions: { hmac },
      digest: toDigestText(sha256),
      size,
    }
  }
  return {
    blocks: encrypt(),
    result() {
      if (!result) throw new Error('the ciphertext was not read to its end')
      return result
    },
  }
}

async function* transform(
  plaintext: AsyncIterable<Uint8Array>,
  { digest, cipher }: { digest: StreamDigest; cipher: StreamCipher },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of plaintext) {
    digest.update(chunk)
    const ciphertext = cipher.update(chunk)
    yield ciphertext
    // It was copied into a block: its memory is good for the next at once, while a collector would leave it to grow cold.
    ciphertext.buffer.transfer(0)
  }
}

/** What a ciphertext must turn out to be. */
export interface LayerExpectation {
  /** Names the layer in refusals. */
  readonly name: string
  readonly digest: string
  readonly size: number
  readonly publicOptions: PublicOptions
  readonly privateOptions: PrivateOptions
  /** sha256:<hex> of the uncompressed tar, for callers who check it: skopeo notes a layer's digest, then compresses it. */
  readonly diffId?: string
}

/**
 * Decrypts and checks on the way; the plaintext is to be believed only when the stream has ended without an error.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED on a wrong length, digest, HMAC or plaintext digest.
 */
export async function* decryptLayer(
  ciphertext: AsyncIterable<Uint8Array>,
  expected: LayerExpectation,
  crypto: StreamCrypto,
): AsyncGenerator<Uint8Array> {
  const { symmetricKey, nonce } = expected.privateOptions
  const cipher = crypto.aes256Ctr(symmetricKey, nonce)
  const plainDigest = crypto.sha256()
  using digests = new PassingDigests(openCiphertextDigests(crypto, symmetricKey, { each: false }))
  let size = 0
  for await (const chunk of ciphertext) {
    size += chunk.length
    if (size > expected.size) throw refused(`${expected.name}: over ${expected.size} bytes, as its descriptor says`)
    await digests.update(chunk)
    const plaintext = cipher.update(chunk)
    plainDigest.update(plaintext)
    yield plaintext
  }
  const { sha256, hmac } = await digests.finish()
  checkEnd({ size, digest: sha256, hmac, plainDigest: plainDigest.digest() }, expected)
}

interface Found {
  size: number
  digest: Uint8Array
  hmac: Uint8Array
  plainDigest: Uint8Array
}

function checkEnd(found: Found, expected: LayerExpectation): void {
  const { name, size, digest, publicOptions, privateOptions, diffId } = expected
  if (found.size !== size) throw refused(`${name}: ${found.size} bytes, its descriptor says ${size}`)
  if (!isDigestOf(digest, found.digest))
    throw refused(`${name}: ciphertext is ${toDigestText(found.digest)}, its descriptor says ${digest}`)
  if (!equalBytes(found.hmac, publicOptions.hmac)) throw refused(`${name}: wrong HMAC`)
  if (privateOptions.digest !== diffId && !isDigestOf(privateOptions.digest, found.plainDigest))
    throw refused(`${name}: wrong digest of the plaintext`)
}

function randomBytes(length: number): Uint8Array {
  return globalThis.crypto.getRandomValues(new Uint8Array(length))
}
