/**
 * Zstandard streams of many frames, as zstd:chunked and eStargz write them: Node's decompressor stops at the end of the first frame and
 * fails at a skippable one. Here the frames are told apart (RFC 8878 §3.1) and each gets a decompressor of its own.
 */

import { concatBytes } from '@trusted-pods/protocol/bytes.ts'

// Magic numbers, little-endian.
const FRAME = 0xfd2fb528
/** 16 of them: the last four bits are the user's. */
const SKIPPABLE = 0x184d2a50
const BLOCK_HEADER_BYTES = 3
/** Block_Type 1: one byte, repeated. 3 is reserved. */
const RLE = 1
const RESERVED = 3

/** Small pieces are joined: a decompressor's call costs as much as some 10 KiB of its work. */
const JOINED_BYTES = 64 * 1024
/** A frame or block costs its reader far more than its bytes do. Small files of their own frames stay above 30 bytes on average. */
const MIN_BYTES_PER_PART = 16
const FREE_PARTS = 4096

/** Each frame's plain content, one after the other; `decompress` gets the bytes of exactly one frame.
 * @throws Error where the stream is cut, is none, or is cut up into next to nothing. */
export async function* decompressFrames(
  bytes: AsyncIterable<Uint8Array>,
  decompress: (frame: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const input = new ByteReader(bytes)
  try {
    do {
      const magic = viewOf(await input.take(4)).getUint32(0, true)
      input.countPart()
      if (magic === FRAME) yield* decompress(joined(readFrame(input)))
      else if ((magic & ~0xf) >>> 0 === SKIPPABLE) await input.skip(viewOf(await input.take(4)).getUint32(0, true))
      else throw new Error(`a zstd frame does not begin with 0x${magic.toString(16)}`)
    } while (!(await input.isAtEnd()))
  } finally {
    await input.close()
  }
}

/** The frame whose magic number was just taken, with it. */
async function* readFrame(input: ByteReader): AsyncGenerator<Uint8Array> {
  const [descriptor = 0] = await input.take(1)
  const header = await input.take(headerBytes(descriptor))
  yield Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, descriptor, ...header)
  for (let isLast = false; !isLast; ) {
    const [low = 0, middle = 0, high = 0] = await input.take(BLOCK_HEADER_BYTES)
    input.countPart()
    const type = (low >> 1) & 3
    if (type === RESERVED) throw new Error('a zstd block has the reserved type')
    isLast = (low & 1) === 1
    const length = (low >> 3) | (middle << 5) | (high << 13)
    yield Uint8Array.of(low, middle, high)
    yield* input.stream(type === RLE ? 1 : length)
  }
  if (descriptor & 0b100) yield await input.take(4)
}

/** The same bytes in pieces of JOINED_BYTES or more, but for the last. */
async function* joined(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = []
  let length = 0
  for await (const piece of pieces) {
    parts.push(piece)
    length += piece.length
    if (length < JOINED_BYTES) continue
    yield concatBytes(...parts)
    parts = []
    length = 0
  }
  if (length > 0) yield concatBytes(...parts)
}

/** Window descriptor, dictionary id and content size: RFC 8878 §3.1.1.1.1. */
function headerBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0b10_0000) !== 0
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  const dictionaryId = [0, 1, 2, 4][descriptor & 0b11] ?? 0
  return (isSingleSegment ? 0 : 1) + dictionaryId + contentSize
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Takes given numbers of bytes out of chunks of any length; holds one chunk. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array()
  #takenBytes = 0
  #parts = 0

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#source = bytes[Symbol.asyncIterator]()
  }

  /** A frame or a block begins. */
  countPart(): void {
    if (++this.#parts > FREE_PARTS + this.#takenBytes / MIN_BYTES_PER_PART)
      throw new Error(`a zstd stream of ${this.#takenBytes} bytes has over ${this.#parts} frames and blocks`)
  }

  /** A few bytes. */
  async take(count: number): Promise<Uint8Array> {
    const taken = new Uint8Array(count)
    let length = 0
    for await (const part of this.stream(count)) {
      taken.set(part, length)
      length += part.length
    }
    return taken
  }

  async *stream(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (await this.isAtEnd()) throw new Error('the zstd stream is cut')
      const part = this.#chunk.subarray(0, left)
      this.#chunk = this.#chunk.subarray(part.length)
      left -= part.length
      this.#takenBytes += part.length
      yield part
    }
  }

  async skip(count: number): Promise<void> {
    for await (const _ of this.stream(count));
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const { done, value } = await this.#source.next()
      if (done) return true
      this.#chunk = value
    }
    return false
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }
}
