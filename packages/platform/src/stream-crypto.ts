/** Streaming cipher, MAC, digest and compression over node:crypto and node:zlib. Spec: spec/IMAGES.md#layers. */
import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { finished, pipeline, Readable, type Transform } from 'node:stream'
import {
  constants,
  createGunzip,
  createGzip,
  createZstdCompress,
  createZstdDecompress,
  zstdDecompressSync,
} from 'node:zlib'
import type { StreamCrypto, StreamDigest } from '@trusted-pods/protocol/image/stream-crypto.ts'
import { hasCode } from './error-code.ts'
import { countChunk } from './free-chunks.ts'
import { openThreadDigests } from './thread-digests.ts'
import { decompressFrames } from './zstd-frames.ts'

/** 256 KiB: OpenSSL's own peak; 64 KiB costs 1.5 times, 4 MiB 2 to 3 times as much. */
const CHUNK_BYTES = 256 * 1024
/** What most small files have. */
const SMALL_FRAME_BYTES = 8 * 1024
/** Layers are written once, read once and rarely compress better: the fastest level that still shrinks text by half. */
const GZIP_LEVEL = 3
/** Smaller than gzip at its default and seven times as fast; level 3 saves another seventh for twice the time. */
const ZSTD_LEVEL = 1

const twoThreads = availableParallelism() > 1

export const nodeStreamCrypto = {
  aes256Ctr(key, counter) {
    const cipher = createCipheriv('aes-256-ctr', key, counter)
    return {
      update(bytes) {
        // The chunk that was read, or the one that is returned: the other is copied and given back.
        countChunk(bytes.length)
        return cipher.update(bytes)
      },
    }
  },
  hmacSha256: (key) => toDigest(createHmac('sha256', key)),
  sha256: () => toDigest(createHash('sha256')),
  ...(twoThreads && { ciphertextDigests: openThreadDigests }),
  gunzip: (bytes) => through(bytes, createGunzip({ chunkSize: CHUNK_BYTES })),
  gzip: (bytes) => through(bytes, createGzip({ chunkSize: CHUNK_BYTES, level: GZIP_LEVEL })),
  unzstd: (bytes) => decompressFrames(bytes, decompressFrame),
  zstd: (bytes) => {
    const params = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL }
    return throughOneByOne(bytes, createZstdCompress({ chunkSize: CHUNK_BYTES, params }))
  },
} as const satisfies StreamCrypto

function toDigest(hash: { update(bytes: Uint8Array): unknown; digest(): Uint8Array }): StreamDigest {
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest(),
  }
}

/** A stream of its own costs ten times as much as a small frame: an image may have one for each of its files. */
async function* decompressFrame(frame: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pieces = frame[Symbol.asyncIterator]()
  const first = await pieces.next()
  const second = await pieces.next()
  const whole = second.done && !first.done ? inOneGo(first.value) : undefined
  if (whole) yield whole
  else yield* through(startingWith([first, second], pieces), createZstdDecompress({ chunkSize: CHUNK_BYTES }))
}

/** undefined where it becomes longer than a chunk. */
function inOneGo(frame: Uint8Array): Uint8Array | undefined {
  try {
    return zstdDecompressSync(frame, { maxOutputLength: CHUNK_BYTES, chunkSize: SMALL_FRAME_BYTES })
  } catch (error) {
    if (hasCode(error, 'ERR_BUFFER_TOO_LARGE')) return undefined
    throw error
  }
}

async function* startingWith(
  results: readonly IteratorResult<Uint8Array>[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for (const { done, value } of results) if (!done) yield value
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
}

/** What the transform makes of the bytes; an early end of the consumer ends the source too. */
async function* through(bytes: AsyncIterable<Uint8Array>, transform: Transform): AsyncGenerator<Uint8Array> {
  // A failure of either reaches the loop below by the transform, which the pipeline destroys with it.
  pipeline(Readable.from(bytes, { highWaterMark: 1 }), transform, () => {})
  for await (const chunk of transform) {
    countChunk(chunk.length)
    yield chunk
  }
}

/** The same, ended only when all was taken: Node's zstd writes an empty second frame where the end comes while bytes wait. */
async function* throughOneByOne(bytes: AsyncIterable<Uint8Array>, transform: Transform): AsyncGenerator<Uint8Array> {
  const feeding = feed(bytes, transform)
  // Destroys the transform, by which the loop below is told.
  feeding.catch((error: unknown) => transform.destroy(error instanceof Error ? error : new Error(String(error))))
  try {
    for await (const chunk of transform) yield chunk
  } finally {
    transform.destroy()
    // What it failed with came through the transform.
    await feeding.catch(() => {})
  }
}

async function feed(bytes: AsyncIterable<Uint8Array>, transform: Transform): Promise<void> {
  const closed = Promise.withResolvers<never>()
  closed.promise.catch(() => {})
  finished(transform, (error) => closed.reject(error ?? new Error('the reader left')))
  for await (const chunk of bytes) {
    // A compressor takes in more than it gives, and what it gives is counted by whoever reads it.
    countChunk(chunk.length)
    const taken = Promise.withResolvers<void>()
    transform.write(chunk, (error) => (error ? taken.reject(error) : taken.resolve()))
    await Promise.race([taken.promise, closed.promise])
  }
  transform.end()
}
