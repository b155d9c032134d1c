/** Both sides of the wire over a real connection: frames, limits, deadlines, refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import type { Stream } from '@libp2p/interface'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { LogMessageSchema, LogsRequestSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { request, requestStream } from '@trusted-pods/protocol/wire/exchange.ts'
import { framed } from '@trusted-pods/protocol/wire/framing.ts'
import { fromRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Caller, serve } from '@trusted-pods/protocol/wire/serve.ts'
import { memoryLog } from '../support/memory-log.ts'
import { type NodePair, startNodePair } from '../support/nodes.ts'

const LIMITS = {
  id: '/trusted-pods/test/0.0.1',
  requestBytes: 1024,
  responseBytes: 2048,
  timeoutMs: 1_000,
  streamsPerConnection: 4,
}
const ASK = { request: LogsRequestSchema, response: LogMessageSchema }

type Answer = Parameters<typeof serve<typeof LogsRequestSchema, typeof LogMessageSchema>>[2]['answer']

async function serveTest({ provider }: NodePair, answer: Answer) {
  const log = memoryLog()
  await serve(
    provider,
    LIMITS,
    { ...ASK, refuse: (value) => ({ result: { case: 'refusal' as const, value } }), answer },
    { log },
  )
  return log
}

const line = (container: string) => ({ result: { case: 'line' as const, value: { container } } })

function rejectsWith(code: string) {
  return (error: unknown) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, code, error.message)
    return true
  }
}

async function firstAnswer(stream: Stream) {
  return framed(stream, { readBytes: LIMITS.responseBytes, writeBytes: 0 }).read(LogMessageSchema, {
    signal: AbortSignal.timeout(5_000),
  })
}

test('a request is answered once, and both streams are gone afterwards', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async ({ container }) => line(container))
  for (let i = 0; i < 100; i++) {
    const answer = await request(pair.connection, LIMITS, { ...ASK, message: { container: `c${i}` } })
    assert.equal(answer.result.case === 'line' && answer.result.value.container, `c${i}`)
  }
  assert.equal(pair.connection.streams.filter((stream) => stream.protocol === LIMITS.id).length, 0)
})

test('a stream of answers ends where the server ends it, and 4 MiB of it arrive whole at a slow reader', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async function* () {
    for (let i = 0; i < 4096; i++) yield line(`${i}`.padEnd(1000, '.'))
  })
  let next = 0
  for await (const answer of requestStream(pair.connection, LIMITS, { ...ASK, message: {} })) {
    assert.equal(answer.result.case === 'line' && Number.parseInt(answer.result.value.container, 10), next++)
    if (next % 512 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.equal(next, 4096)
})

test('a refusal crosses the wire with code, text and action, marked as the peer’s', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => {
    throw new TrustedPodsError('STATUS_UNKNOWN_POD', 'no pod 00\nis here')
  })
  const answer = await request(pair.connection, LIMITS, { ...ASK, message: {} })
  assert.equal(answer.result.case, 'refusal')
  const error = fromRefusal(answer.result.value)
  assert.deepEqual(
    [error.code, error.message, error.action, error.remote],
    ['STATUS_UNKNOWN_POD', 'no pod 00 is here', 'fix-input', true],
  )
})

test('a fault of the server is told to its log, and to the peer only as WIRE_INTERNAL', async () => {
  await using pair = await startNodePair()
  const log = await serveTest(pair, async () => {
    throw new Error('secret detail')
  })
  const answer = await request(pair.connection, LIMITS, { ...ASK, message: {} })
  assert.deepEqual(answer.result.case === 'refusal' && [answer.result.value.code, answer.result.value.message], [
    'WIRE_INTERNAL',
    'internal error',
  ])
  assert.ok(
    log.entries.some(({ level, fields }) => level === 'error' && String(fields.reason).includes('secret detail')),
  )
})

test('a frame above the limit is refused with WIRE_FRAME_TOO_LONG before its body is read', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => line(''))
  const stream = await pair.connection.newStream(LIMITS.id)
  stream.send(new Uint8Array([0x81, 0x08]))
  const answer = await firstAnswer(stream)
  assert.equal(answer.result.case === 'refusal' && answer.result.value.code, 'WIRE_FRAME_TOO_LONG')
})

test('an endless length prefix is refused after four bytes', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => line(''))
  const stream = await pair.connection.newStream(LIMITS.id)
  stream.send(new Uint8Array(100_000).fill(0x80))
  const answer = await firstAnswer(stream)
  assert.equal(answer.result.case === 'refusal' && answer.result.value.code, 'WIRE_FRAME_TOO_LONG')
})

test('a message of our own above the limit is not sent', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => line(''))
  const ask = request(pair.connection, LIMITS, { ...ASK, message: { container: 'x'.repeat(1100) } })
  await assert.rejects(ask, rejectsWith('WIRE_FRAME_TOO_LONG'))
})

test('a stream that stalls is refused with WIRE_TIMEOUT', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => line(''))
  const stream = await pair.connection.newStream(LIMITS.id)
  stream.send(new Uint8Array([0x05]))
  const answer = await firstAnswer(stream)
  assert.equal(answer.result.case === 'refusal' && answer.result.value.code, 'WIRE_TIMEOUT')
})

test('a server that stalls ends the asker with WIRE_TIMEOUT, and with the asker’s own reason when that comes first', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async function* (_, { signal }: Caller) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    yield* []
  })
  const slow = { ...LIMITS, timeoutMs: 200 }
  await assert.rejects(
    Array.fromAsync(requestStream(pair.connection, slow, { ...ASK, message: {} })),
    rejectsWith('WIRE_TIMEOUT'),
  )
  const signal = AbortSignal.timeout(50)
  await assert.rejects(request(pair.connection, LIMITS, { ...ASK, message: {} }, { signal }))
})

test('a message cut at any byte is refused with WIRE_TRUNCATED', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => line(''))
  const body = toBinary(
    LogsRequestSchema,
    create(LogsRequestSchema, { podId: new Uint8Array(32).fill(7), container: 'web', tail: 3 }),
  )
  const frame = new Uint8Array([body.length, ...body])
  for (let length = 0; length < frame.length; length++) {
    const stream = await pair.connection.newStream(LIMITS.id)
    if (length > 0) stream.send(frame.slice(0, length))
    await stream.close()
    const answer = await firstAnswer(stream)
    assert.equal(answer.result.case === 'refusal' && answer.result.value.code, 'WIRE_TRUNCATED', `cut at ${length}`)
  }
})

test('bytes that are not the message are refused with WIRE_MALFORMED', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => line(''))
  const stream = await pair.connection.newStream(LIMITS.id)
  stream.send(new Uint8Array([3, 0xff, 0xff, 0xff]))
  const answer = await firstAnswer(stream)
  assert.equal(answer.result.case === 'refusal' && answer.result.value.code, 'WIRE_MALFORMED')
})

test('a protocol that the peer does not speak is WIRE_UNSUPPORTED_PROTOCOL', async () => {
  await using pair = await startNodePair()
  const ask = request(pair.connection, { ...LIMITS, id: '/trusted-pods/none/0.0.1' }, { ...ASK, message: {} })
  await assert.rejects(ask, rejectsWith('WIRE_UNSUPPORTED_PROTOCOL'))
})

test('the handler’s signal aborts when the asker goes away', async () => {
  await using pair = await startNodePair()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  await serveTest(pair, async function* (_, { signal }: Caller) {
    yield line('first')
    await new Promise((done) => signal.addEventListener('abort', done))
    resolve(signal.aborted)
  })
  for await (const _ of requestStream(pair.connection, LIMITS, { ...ASK, message: {} })) break
  assert.equal(await promise, true)
})

test('a fifth stream of one connection is turned away while four are open', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, async () => line(''))
  const held: Stream[] = []
  for (let i = 0; i < LIMITS.streamsPerConnection; i++)
    held.push(await pair.connection.newStream(LIMITS.id, { maxOutboundStreams: 64 }))
  const fifth = await pair.connection
    .newStream(LIMITS.id, { maxOutboundStreams: 64 })
    .then(firstAnswer)
    .catch((error) => error)
  assert.ok(fifth instanceof Error)
  for (const stream of held) stream.abort(new Error('done'))
})
