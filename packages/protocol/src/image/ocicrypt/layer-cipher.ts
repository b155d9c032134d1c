/**
 * The layer cipher of ocicrypt, streaming: AES-256-CTR, then HMAC-SHA256 over the ciphertext under the same key.
 * Spec: spec/IMAGES.md#cipher.
 */
import { equalBytes } from '../../bytes.ts'
import { isDigestOf, toDigestText } from '../digest.ts'
import { refused } from '../refused.ts'
import { openSha256, type StreamCrypto } from '../stream-crypto.ts'
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
  /** To be read once. */
  readonly ciphertext: AsyncIterable<Uint8Array>
  /** To be called after the ciphertext has ended. */
  result(): EncryptedLayerResult
}

/** Encrypts with a fresh key and nonce. */
export function encryptLayer(plaintext: AsyncIterable<Uint8Array>, crypto: StreamCrypto): LayerEncryption {
  const symmetricKey = randomBytes(SYMMETRIC_KEY_BYTES)
  const nonce = randomBytes(NONCE_BYTES)
  let result: EncryptedLayerResult | undefined
  async function* encrypt(): AsyncGenerator<Uint8Array> {
    const cipher = crypto.aes256Ctr(symmetricKey, nonce)
    const mac = crypto.hmacSha256(symmetricKey)
    using digest = openSha256(crypto)
    using plainDigest = openSha256(crypto)
    let size = 0
    for await (const chunk of plaintext) {
      const plainRoom = plainDigest.update(chunk)
      const encrypted = cipher.update(chunk)
      const room = digest.update(encrypted)
      mac.update(encrypted)
      await plainRoom
      await room
      size += encrypted.length
      yield encrypted
    }
    result = {
      privateOptions: { symmetricKey, nonce, digest: toDigestText(await plainDigest.digest()) },
      publicOptions: { hmac: mac.digest() },
      digest: toDigestText(await digest.digest()),
      size,
    }
  }
  return {
    ciphertext: encrypt(),
    result() {
      if (!result) throw new Error('the ciphertext was not read to its end')
      return result
    },
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
  const mac = crypto.hmacSha256(symmetricKey)
  using digest = openSha256(crypto)
  using plainDigest = openSha256(crypto)
  let size = 0
  for await (const chunk of ciphertext) {
    size += chunk.length
    if (size > expected.size) throw refused(`${expected.name}: over ${expected.size} bytes, as its descriptor says`)
    const room = digest.update(chunk)
    const plaintext = cipher.update(chunk)
    const plainRoom = plainDigest.update(plaintext)
    mac.update(chunk)
    await room
    await plainRoom
    yield plaintext
  }
  const [cipherSha256, plainSha256] = [await digest.digest(), await plainDigest.digest()]
  const found = { size, digest: cipherSha256, hmac: mac.digest(), plainDigest: plainSha256 }
  checkEnd(found, expected)
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
