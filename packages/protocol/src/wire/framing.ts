/**
 * Frames on a libp2p stream: an unsigned-varint length and a Protobuf body, bounded on both sides, with real back-pressure.
 * Spec: spec/PROTOCOL.md#framing. The library's own helpers are not used: its length decoder can be fed for ever and its
 * readers either buffer without end or reset the stream when the sender is faster.
 */
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Stream } from '@libp2p/interface'
import * as varint from 'uint8-varint'
import { Uint8ArrayList } from 'uint8arraylist'
import { concatBytes } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import { ByteQueue } from './byte-queue.ts'
import { waitForEvent } from './wait-for-event.ts'

/** Bytes of a length prefix; 2^28 - 1 is beyond every limit that we have. */
const MAX_PREFIX_BYTES = 4
/** Unread bytes at which the sender is paused. */
const HIGH_WATER_BYTES = 512 * 1024

/** What must be there of a long frame before room is made for all of it: a length alone is cheap to send. */
const EAGER_BYTES = 64 * 1024

export interface FramedOptions {
  /** Longest body that is read. */
  readBytes: number
  /** Longest body that is written. */
  writeBytes: number
}

export interface SignalOptions {
  signal?: AbortSignal
}

export interface Framed {
  readonly stream: Stream
  /** Aborts when the stream is closed or reset by either side. */
  readonly closed: AbortSignal
  /** The next message. @throws TrustedPodsError WIRE_TRUNCATED at the end of the stream, WIRE_FRAME_TOO_LONG, WIRE_MALFORMED. */
  read<S extends DescMessage>(schema: S, options?: SignalOptions): Promise<MessageShape<S>>
  /** The next message, or undefined where the peer ended the stream between two frames. */
  readOrEnd<S extends DescMessage>(schema: S, options?: SignalOptions): Promise<MessageShape<S> | undefined>
  write<S extends DescMessage>(schema: S, message: MessageInitShape<S>, options?: SignalOptions): Promise<void>
  /** A message whose encoded body is here already, in parts that are sent as they are and must not change any more. */
  writeBody(parts: readonly Uint8Array[], options?: SignalOptions): Promise<void>
  /** Reads no more: what was not read, and what the peer still sends, is dropped. */
  discard(): Promise<void>
  /** Ends our side; what the peer sends can still be read. */
  close(options?: SignalOptions): Promise<void>
  /** Resets the stream in both directions. */
  abort(error: Error): void
}

/** Wraps a stream at once, before its first byte is lost. */
export function framed(stream: Stream, { readBytes, writeBytes }: FramedOptions): Framed {
  const input = new StreamInput(stream)
  const readOrEnd: Framed['readOrEnd'] = async (schema, options = {}) => {
    const body = await readFrame(input, readBytes, options.signal)
    return body && decode(schema, body)
  }
  return {
    stream,
    closed: input.closed,
    readOrEnd,
    async read(schema, options) {
      const message = await readOrEnd(schema, options)
      if (!message)
        throw new TrustedPodsError('WIRE_TRUNCATED', `the peer ended the stream where a ${schema.name} was wanted`)
      return message
    },
    async write(schema, message, options = {}) {
      const body = toBinary(schema, create(schema, message))
      if (body.length > writeBytes) throw tooLong(body.length, writeBytes)
      await writeAll(stream, concatBytes(varint.encode(body.length), body), options.signal)
    },
    async writeBody(parts, options = {}) {
      const length = parts.reduce((sum, part) => sum + part.length, 0)
      if (length > writeBytes) throw tooLong(length, writeBytes)
      await writeAll(stream, new Uint8ArrayList(varint.encode(length), ...parts), options.signal)
    },
    async discard() {
      input.queue.clear()
      await stream.closeRead()
    },
    async close(options = {}) {
      await stream.close(options)
    },
    abort(error) {
      stream.abort(error)
    },
  }
}

async function readFrame(input: StreamInput, limit: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
  const length = await readLength(input, signal)
  if (length === undefined) return undefined
  if (length > limit) throw tooLong(length, limit)
  if (length > EAGER_BYTES && (await input.waitFor(EAGER_BYTES, signal))) input.queue.reserve(length)
  if (!(await input.waitFor(length, signal))) {
    throw new TrustedPodsError(
      'WIRE_TRUNCATED',
      `the stream ended ${input.queue.length} bytes into a frame of ${length}`,
    )
  }
  return input.take(length)
}

async function readLength(input: StreamInput, signal?: AbortSignal): Promise<number | undefined> {
  for (let size = 1; size <= MAX_PREFIX_BYTES; size++) {
    if (!(await input.waitFor(size, signal))) {
      if (size === 1) return undefined
      throw new TrustedPodsError('WIRE_TRUNCATED', `the stream ended ${size - 1} bytes into a length prefix`)
    }
    if (input.queue.at(size - 1) < 0x80) return varint.decode(input.take(size))
  }
  throw new TrustedPodsError('WIRE_FRAME_TOO_LONG', `a length prefix has more than ${MAX_PREFIX_BYTES} bytes`)
}

function decode<S extends DescMessage>(schema: S, body: Uint8Array): MessageShape<S> {
  try {
    return fromBinary(schema, body)
  } catch (cause) {
    throw new TrustedPodsError('WIRE_MALFORMED', `a frame of ${body.length} bytes is not a ${schema.name}`, { cause })
  }
}

function tooLong(length: number, limit: number): TrustedPodsError {
  return new TrustedPodsError('WIRE_FRAME_TOO_LONG', `a frame has ${length} bytes, at most ${limit} are allowed`)
}

async function writeAll(stream: Stream, bytes: Uint8Array | Uint8ArrayList, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  let flowing: boolean
  try {
    flowing = stream.send(bytes)
  } catch (cause) {
    throw new TrustedPodsError('WIRE_CLOSED', 'the stream is closed', { cause })
  }
  if (!flowing) await waitForEvent(stream, 'drain', { rejectOn: 'close', ...(signal && { signal }) })
}

/** Received bytes of one stream; pauses the sender above the mark and lets it go on when all was taken. */
class StreamInput {
  readonly queue = new ByteQueue()
  readonly closed: AbortSignal
  readonly #stream: Stream
  #wake: () => void = () => {}

  constructor(stream: Stream) {
    this.#stream = stream
    const closing = new AbortController()
    this.closed = closing.signal
    stream.addEventListener('message', (event) => this.#push(event.data))
    stream.addEventListener('remoteCloseWrite', () => this.#wake())
    stream.addEventListener('close', (event) => {
      closing.abort(new TrustedPodsError('WIRE_CLOSED', 'the stream was closed', { cause: event.error }))
      this.#wake()
    })
  }

  /** Waits until `count` bytes are there; false: the stream ended before. */
  async waitFor(count: number, signal?: AbortSignal): Promise<boolean> {
    while (this.queue.length < count) {
      signal?.throwIfAborted()
      this.#resume()
      if (this.queue.length >= count) break
      if (this.#ended()) {
        if (this.closed.aborted && this.#wasReset()) throw this.closed.reason
        return false
      }
      await this.#next(signal)
    }
    return true
  }

  take(count: number): Uint8Array {
    const bytes = this.queue.take(count)
    if (this.queue.length === 0) this.#resume()
    return bytes
  }

  #push(bytes: Uint8Array | Uint8ArrayList): void {
    // Each part by itself: joined first, every byte would be copied once more.
    if (bytes instanceof Uint8Array) this.queue.push(bytes)
    else for (const part of bytes) this.queue.push(part)
    this.#wake()
    // Never inside the dispatch: a pause() there is undone by the resume() that dispatches.
    queueMicrotask(() => {
      if (this.queue.length > HIGH_WATER_BYTES && this.#stream.readStatus === 'readable') this.#stream.pause()
    })
  }

  #resume(): void {
    if (this.#stream.readStatus === 'paused') this.#stream.resume()
  }

  #ended(): boolean {
    return this.closed.aborted || (this.#stream.remoteWriteStatus !== 'writable' && this.#stream.readBufferLength === 0)
  }

  #wasReset(): boolean {
    return this.#stream.status === 'reset' || this.#stream.status === 'aborted'
  }

  async #next(signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = () => resolve()
    this.#wake = wake
    signal?.addEventListener('abort', wake)
    try {
      await promise
    } finally {
      // The signal may live much longer than this wait, and there is one for each arrival.
      signal?.removeEventListener('abort', wake)
    }
    signal?.throwIfAborted()
  }
}
