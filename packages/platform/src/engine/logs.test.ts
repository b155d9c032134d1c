import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import fc from 'fast-check'
import { type LogFrame, logFrames, logLines, parseLogTime } from './logs.ts'

function encodeFrame({ stderr, payload }: LogFrame): Buffer {
  const header = Buffer.alloc(8)
  header[0] = stderr ? 2 : 1
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size)
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

const isEngineFailure = (error: unknown) => error instanceof TrustedPodsError && error.code === 'PLATFORM_ENGINE_FAILED'

test('frames come apart as they were put together, however the bytes are cut', async () => {
  const frame = fc.record({ stderr: fc.boolean(), payload: fc.uint8Array({ maxLength: 50 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 6 }), fc.integer({ min: 1, max: 40 }), async (frames, size) => {
      const bytes = Buffer.concat(frames.map(encodeFrame))
      const seen = await collect(logFrames(chunked(bytes, size)))
      assert.deepEqual(
        seen.map(({ stderr, payload }) => [stderr, [...payload]]),
        frames.map(({ stderr, payload }) => [stderr, [...payload]]),
      )
    }),
  )
})

test('a log cut at any byte inside a frame is an error', async () => {
  const bytes = Buffer.concat(
    [
      { stderr: false, payload: Buffer.from('one\n') },
      { stderr: true, payload: Buffer.from('two\n') },
    ].map(encodeFrame),
  )
  for (let length = 1; length < bytes.length; length++) {
    const reading = collect(logFrames(chunked(bytes.subarray(0, length), 5)))
    if (length === 12) assert.equal((await reading).length, 1)
    else await assert.rejects(reading, isEngineFailure, `at ${length}`)
  }
})

test('a frame of an unknown stream or over a mebibyte is refused', async () => {
  await assert.rejects(collect(logFrames(chunked(Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]), 8))), isEngineFailure)
  await assert.rejects(collect(logFrames(chunked(Buffer.from([1, 0, 0, 0, 0, 16, 0, 1]), 8))), isEngineFailure)
})

test('lines have their time and stream, and one in several frames is put together', async () => {
  const time = '2026-01-02T03:04:05.123456789Z'
  const frames = [
    { stderr: false, payload: `${time} out ` },
    { stderr: true, payload: '2026-01-02T03:04:06Z err\n' },
    { stderr: false, payload: `${time} goes on\n` },
    { stderr: false, payload: 'no time\n' },
    { stderr: true, payload: `${time} unfinished` },
  ]
  async function* source(): AsyncGenerator<LogFrame> {
    for (const { stderr, payload } of frames) yield { stderr, payload: Buffer.from(payload) }
  }
  const lines = await collect(logLines(source()))
  const ns = 1767323045123456789n
  assert.deepEqual(
    lines.map(({ timeNs, stderr, text }) => [timeNs, stderr, Buffer.from(text).toString()]),
    [
      [1767323046000000000n, true, 'err'],
      [ns, false, 'out goes on'],
      [0n, false, 'no time'],
      [ns, true, 'unfinished'],
    ],
  )
})

test('a line over 64 KiB is given in pieces', async () => {
  async function* source(): AsyncGenerator<LogFrame> {
    for (let i = 0; i < 10; i++) yield { stderr: false, payload: Buffer.alloc(16 * 1024, 'x') }
  }
  const lines = await collect(logLines(source()))
  assert.deepEqual(
    lines.map(({ text }) => text.length),
    [65536, 65536, 32768],
  )
})

test('a time is RFC 3339 with up to nine decimals, in any zone', () => {
  assert.equal(parseLogTime('1970-01-01T00:00:01Z'), 1_000_000_000n)
  assert.equal(parseLogTime('1970-01-01T01:00:00.5+01:00'), 500_000_000n)
  for (const text of ['', 'hello', '1970-01-01', '1970-13-01T00:00:00Z', '1970-01-01T00:00:00.1234567890Z']) {
    assert.equal(parseLogTime(text), undefined, text)
  }
})
