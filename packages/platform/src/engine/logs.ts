/**
 * A container's output: the engine's frames taken apart, each line with its stream and time. Pure but for `containerLogs`.
 *
 *   0 stream  1 = stdout, 2 = stderr [1]   1 zero [3]   4 length, big-endian [4]   8 payload   (Engine API, ContainerAttach)
 */
import { type Engine, failed } from './engine-client.ts'
import type { CallOptions } from './images.ts'

/** 1 MiB: engines cut output at 16 KiB. */
const MAX_FRAME_BYTES = 1024 * 1024

/** 64 KiB: a longer line is given in pieces. */
const MAX_LINE_BYTES = 64 * 1024

export interface LogFrame {
  readonly stderr: boolean
  readonly payload: Uint8Array
}

export interface LogLine {
  /** Nanoseconds since 1970; 0 when the engine gave none. */
  readonly timeNs: bigint
  readonly stderr: boolean
  /** Without the line's end. */
  readonly text: Uint8Array
}

export interface LogQuery extends CallOptions {
  readonly follow: boolean
  readonly tail?: number | undefined
}

/** Lines of both streams in the order that the engine kept. */
export async function* containerLogs(engine: Engine, id: string, query: LogQuery): AsyncGenerator<LogLine> {
  const stream = await engine.open({
    path: `/containers/${encodeURIComponent(id)}/logs`,
    query: { stdout: true, stderr: true, timestamps: true, follow: query.follow, tail: query.tail ?? 'all' },
    signal: query.signal,
  })
  yield* logLines(logFrames(stream))
}

/** @throws TrustedPodsError PLATFORM_ENGINE_FAILED on a header of no known stream, a frame too long, or an end inside one. */
export async function* logFrames(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<LogFrame> {
  let rest = Buffer.alloc(0)
  for await (const chunk of bytes) {
    rest = Buffer.concat([rest, chunk])
    for (let length = payloadLength(rest); length !== undefined; length = payloadLength(rest)) {
      yield { stderr: rest[0] === 2, payload: rest.subarray(8, 8 + length) }
      rest = rest.subarray(8 + length)
    }
  }
  if (rest.length > 0) throw failed(`the log ended inside a frame, ${rest.length} bytes after its start`)
}

/** Payload length of the frame that `bytes` start with; undefined until all of it is there. */
function payloadLength(bytes: Buffer): number | undefined {
  if (bytes.length < 8) return undefined
  const length = bytes.readUInt32BE(4)
  if ((bytes[0] ?? 0) > 2) throw failed(`a log frame is of stream ${bytes[0]}, 0 to 2 were wanted`)
  if (length > MAX_FRAME_BYTES) throw failed(`a log frame has ${length} bytes, at most ${MAX_FRAME_BYTES} were wanted`)
  return bytes.length < 8 + length ? undefined : length
}

/** Frames put together to lines. Each frame starts with its time; a frame that ends in no newline goes on in the next. */
export async function* logLines(frames: AsyncIterable<LogFrame>): AsyncGenerator<LogLine> {
  const open = new Map<boolean, LogLine>()
  for await (const { stderr, payload } of frames) {
    const { timeNs, text } = splitTime(payload)
    const before = open.get(stderr)
    const whole = before ? Buffer.concat([before.text, text]) : text
    const line = { timeNs: before?.timeNs ?? timeNs, stderr, text: whole }
    const ended = whole.at(-1) === 10
    open.delete(stderr)
    if (ended) yield { ...line, text: whole.subarray(0, -1) }
    else if (whole.length >= MAX_LINE_BYTES) yield line
    else open.set(stderr, line)
  }
  yield* open.values()
}

/** `2026-01-02T03:04:05.123456789Z text`: the time and what follows its blank. */
function splitTime(payload: Uint8Array): { timeNs: bigint; text: Uint8Array } {
  const blank = payload.indexOf(32)
  const stamp = blank > 0 && blank <= 40 ? Buffer.from(payload.subarray(0, blank)).toString('latin1') : ''
  const timeNs = parseLogTime(stamp)
  return timeNs === undefined ? { timeNs: 0n, text: payload } : { timeNs, text: payload.subarray(blank + 1) }
}

/** RFC 3339 with up to nine decimals as nanoseconds since 1970; undefined when it is not that. */
export function parseLogTime(text: string): bigint | undefined {
  const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (!parts) return undefined
  const ms = Date.parse(`${parts[1]}${parts[3]}`)
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt((parts[2] ?? '').padEnd(9, '0'))
}
