/** What image encryption needs of the platform: WebCrypto has no streaming cipher, MAC or digest. Implemented for Node in
 * @trusted-pods/platform/stream-crypto.ts. */

export interface StreamCipher {
  /** AES-256-CTR is its own inverse; output length equals input length. The output is never reused. */
  update(bytes: Uint8Array): Uint8Array
}

export interface StreamDigest {
  update(bytes: Uint8Array): void
  digest(): Uint8Array
}

export interface StreamCrypto {
  /** @param key 32 bytes. @param counter 16 bytes, the whole initial counter block, 128-bit big-endian. */
  aes256Ctr(key: Uint8Array, counter: Uint8Array): StreamCipher
  hmacSha256(key: Uint8Array): StreamDigest
  sha256(): StreamDigest
  gunzip(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  gzip(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** Zstandard, for layers that came so; absent where the platform has none. */
  unzstd?(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
}
