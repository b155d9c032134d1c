/** What image encryption needs of the platform: WebCrypto has no streaming cipher, MAC or digest. Implemented for Node in
 * @trusted-pods/platform/stream-crypto.ts. */
import { sha256 } from '../bytes.ts'

export interface StreamCipher {
  /** AES-256-CTR is its own inverse; output length equals input length. The output has memory of its own, which is never reused. */
  update(bytes: Uint8Array): Uint8Array<ArrayBuffer>
}

export interface StreamDigest {
  update(bytes: Uint8Array): void
  digest(): Uint8Array
}

export interface DigestedBlock {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Of this block alone, where it was asked for. */
  readonly sha256?: Uint8Array
}

/** SHA-256 and HMAC-SHA256 of a ciphertext that comes in blocks. */
export interface CiphertextDigests extends Disposable {
  /** Takes the block's memory over; what comes back may lie elsewhere. Blocks count in the order of the calls. */
  add(block: Uint8Array<ArrayBuffer>): Promise<DigestedBlock>
  /** Over all blocks; to be called after the last `add`, whose promise need not be settled yet. */
  finish(): Promise<CiphertextTotals>
}

export interface CiphertextTotals {
  readonly sha256: Uint8Array
  readonly hmac: Uint8Array
}

export interface CiphertextDigestOptions {
  /** Whether each block's own SHA-256 is wanted. */
  readonly each: boolean
}

export interface StreamCrypto {
  /** @param key 32 bytes. @param counter 16 bytes, the whole initial counter block, 128-bit big-endian. */
  aes256Ctr(key: Uint8Array, counter: Uint8Array): StreamCipher
  hmacSha256(key: Uint8Array): StreamDigest
  sha256(): StreamDigest
  /** Beside the caller, who disposes of it; absent where the platform has one thread. @param key of the HMAC. */
  ciphertextDigests?(key: Uint8Array, options: CiphertextDigestOptions): CiphertextDigests
  gunzip(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  gzip(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** Zstandard of any number of frames; absent where the platform has none. */
  unzstd?(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** One frame; absent where the platform has none. */
  zstd?(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
}

/** Beside the caller where the platform can, else at once. */
export function openCiphertextDigests(
  crypto: StreamCrypto,
  key: Uint8Array,
  options: CiphertextDigestOptions,
): CiphertextDigests {
  return crypto.ciphertextDigests?.(key, options) ?? inForeground(crypto, key, options)
}

/** Blocks whose digests may be under way while the next one comes. */
const BLOCKS_AHEAD = 3

/** Each block with its digest, in the order that they came; their memory is taken over. */
export async function* digestAhead(
  blocks: AsyncIterable<Uint8Array<ArrayBuffer>>,
  digests: Pick<CiphertextDigests, 'add'>,
): AsyncGenerator<DigestedBlock, void, undefined> {
  const underWay: Promise<DigestedBlock>[] = []
  for await (const block of blocks) {
    underWay.push(digests.add(block))
    if (underWay.length > BLOCKS_AHEAD) yield* underWay.splice(0, 1)
  }
  yield* underWay
}

function inForeground(crypto: StreamCrypto, key: Uint8Array, { each }: CiphertextDigestOptions): CiphertextDigests {
  const [digest, mac] = [crypto.sha256(), crypto.hmacSha256(key)]
  return {
    async add(bytes) {
      digest.update(bytes)
      mac.update(bytes)
      return each ? { bytes, sha256: await sha256(bytes) } : { bytes }
    },
    finish: async () => ({ sha256: digest.digest(), hmac: mac.digest() }),
    [Symbol.dispose]() {},
  }
}
