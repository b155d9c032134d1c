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

/** A digest that another thread computes while this one goes on. */
export interface BackgroundDigest extends Disposable {
  /** Takes the bytes before it returns; undefined, or a promise that holds the caller back while the other thread lags. */
  update(bytes: Uint8Array): Promise<void> | undefined
  digest(): Promise<Uint8Array>
}

export interface StreamCrypto {
  /** @param key 32 bytes. @param counter 16 bytes, the whole initial counter block, 128-bit big-endian. */
  aes256Ctr(key: Uint8Array, counter: Uint8Array): StreamCipher
  hmacSha256(key: Uint8Array): StreamDigest
  sha256(): StreamDigest
  /** SHA-256 beside the caller, who disposes of it; absent where the platform has one thread. */
  backgroundSha256?(): BackgroundDigest
  gunzip(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  gzip(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** Zstandard of any number of frames; absent where the platform has none. */
  unzstd?(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** One frame; absent where the platform has none. */
  zstd?(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
}

/** Beside the caller where the platform can, else at once. */
export function openSha256(crypto: StreamCrypto): BackgroundDigest {
  return crypto.backgroundSha256?.() ?? inForeground(crypto.sha256())
}

function inForeground(digest: StreamDigest): BackgroundDigest {
  return {
    update(bytes) {
      digest.update(bytes)
      return undefined
    },
    digest: async () => digest.digest(),
    [Symbol.dispose]() {},
  }
}
