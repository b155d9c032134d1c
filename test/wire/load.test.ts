/** Peers that send little by little, nothing at all, or ask for much: what they cost, and that others are served. */
import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { getEventListeners, once } from 'node:events'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { LogMessageSchema, LogsRequestSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { request, requestStream } from '@trusted-pods/protocol/wire/exchange.ts'
import { framed } from '@trusted-pods/protocol/wire/framing.ts'
import { type ProtocolLimits, UNREAD_BYTES } from '@trusted-pods/protocol/wire/protocols.ts'
import { type Caller, serve } from '@trusted-pods/protocol/wire/serve.ts'
import { memoryLog } from '../support/memory-log.ts'
import { type NodePair, startNodePair } from '../support/nodes.ts'

const LIMITS: ProtocolLimits = {
  id: '/trusted-pods/test/0.0.1',
  requestBytes: 1024,
  responseBytes: 2048,
  timeoutMs: 20_000,
  streamsPerConnection: 16,
}
const ASK = { request: LogsRequestSchema, response: LogMessageSchema }

type Answer = Parameters<typeof serve<typeof LogsRequestSchema, typeof LogMessageSchema>>[2]['answer']

async function serveTest({ provider }: NodePair, limits: ProtocolLimits, answer: Answer, requestTimeoutMs = 10_000) {
  const refuse = (value: object) => ({ result: { case: 'refusal' as const, value } })
  await serve(provider, limits, { ...ASK, refuse, answer }, { log: memoryLog(), requestTimeoutMs })
}

const line = (container: string) => ({ result: { case: 'line' as const, value: { container } } })

/** Answers once, then stays until the asker goes. */
async function* follow(_: unknown, { signal }: Caller) {
  yield line('first')
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
}

async function ask(connection: Connection, limits: ProtocolLimits): Promise<string> {
  const { result } = await request(connection, limits, { ...ASK, message: {} })
  return result.case === 'refusal' ? result.value.code : String(result.case)
}

async function refusalOf(stream: Stream): Promise<string | undefined> {
  const frames = framed(stream, { readBytes: LIMITS.responseBytes, writeBytes: 0 })
  const { result } = await frames.read(LogMessageSchema, { signal: AbortSignal.timeout(5_000) })
  return result.case === 'refusal' ? result.value.code : undefined
}

async function withStranger(pair: NodePair, talk: (connection: Connection) => Promise<void>): Promise<void> {
  const stranger = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  try {
    await talk(await stranger.dial(pair.provider.getMultiaddrs()))
  } finally {
    await stranger.stop()
  }
}

/** Streams that say nothing, each known to the server. */
async function openSilent(connection: Connection, count: number): Promise<Stream[]> {
  const streams: Stream[] = []
  for (let i = 0; i < count; i++)
    streams.push(await connection.newStream(LIMITS.id, { maxOutboundStreams: 64, negotiateFully: true }))
  return streams
}

test('a frame that comes byte by byte leaves no listener behind for each', async () => {
  await using pair = await startNodePair()
  const { signal } = new AbortController()
  const listeners: number[] = []
  const read = Promise.withResolvers<string>()
  await pair.provider.handle(LIMITS.id, async (stream) => {
    const frames = framed(stream, { readBytes: 1024, writeBytes: 0 })
    stream.addEventListener('message', () => listeners.push(getEventListeners(signal, 'abort').length))
    frames.read(LogsRequestSchema, { signal }).then(({ container }) => read.resolve(container), read.reject)
  })
  const stream = await pair.connection.newStream(LIMITS.id)
  // Field 2, a text of 200 bytes.
  for (const byte of [0xcb, 0x01, 0x12, 0xc8, 0x01, ...Buffer.from('x'.repeat(200))]) {
    stream.send(new Uint8Array([byte]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(await read.promise, 'x'.repeat(200))
  assert.ok(listeners.length > 20, `only ${listeners.length} arrivals`)
  assert.ok(Math.max(...listeners) <= 1, `${Math.max(...listeners)} listeners`)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('what a peer sends after its request is dropped, not kept', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, LIMITS, follow)
  const stream = await pair.connection.newStream(LIMITS.id)
  const frames = framed(stream, { readBytes: LIMITS.responseBytes, writeBytes: LIMITS.requestBytes })
  await frames.write(LogsRequestSchema, {})
  await frames.read(LogMessageSchema)
  // More than the windows and the buffers on the way hold together: all of it leaves only where it is taken.
  const sent = once(stream, 'idle', { signal: AbortSignal.timeout(5_000) })
  stream.send(new Uint8Array(6 * 1024 * 1024))
  await sent
  const [held] = (pair.provider.getConnections()[0]?.streams ?? []).filter(({ protocol }) => protocol === LIMITS.id)
  assert.equal(held?.readBufferLength, 0)
  frames.abort(new Error('done'))
})

test('silent streams of strangers keep nobody from being served', async () => {
  await using pair = await startNodePair()
  const limits = { ...LIMITS, concurrent: { total: 2, perPeer: 1 } }
  await serveTest(pair, limits, async () => line(''))
  await withStranger(pair, async (connection) => {
    await openSilent(connection, 6)
    await openSilent(pair.connection, 6)
    assert.equal(await ask(pair.connection, limits), 'line')
  })
})

test('a request that is not there in time is refused with WIRE_TIMEOUT, whatever the protocol’s own limit', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, LIMITS, async () => line(''), 100)
  const [silent] = await openSilent(pair.connection, 1)
  assert.equal(await refusalOf(silent ?? assert.fail()), 'WIRE_TIMEOUT')
})

test('past the bound on silent streams the oldest is refused with WIRE_BUSY, and the newest is served', async () => {
  await using pair = await startNodePair()
  const limits = { ...LIMITS, requestBytes: UNREAD_BYTES / 2 }
  await serveTest(pair, limits, async () => line(''))
  await withStranger(pair, async (connection) => {
    const [first] = await openSilent(connection, 2)
    assert.equal(await ask(pair.connection, limits), 'line')
    assert.equal(await refusalOf(first ?? assert.fail()), 'WIRE_BUSY')
  })
})

test('a peer that follows as much as it may is refused the next with WIRE_BUSY, another peer is served, and a place comes back', async () => {
  await using pair = await startNodePair()
  const limits = { ...LIMITS, concurrent: { total: 3, perPeer: 2 } }
  await serveTest(pair, limits, follow)
  const followed: ReturnType<typeof requestStream>[] = []
  for (let i = 0; i < 2; i++) {
    const answers = requestStream(pair.connection, limits, { ...ASK, message: {} })
    assert.equal((await answers.next()).value?.result.case, 'line')
    followed.push(answers)
  }
  assert.equal(await ask(pair.connection, limits), 'WIRE_BUSY')
  await withStranger(pair, async (connection) => {
    const other = requestStream(connection, limits, { ...ASK, message: {} })
    assert.equal((await other.next()).value?.result.case, 'line')
    await followed[0]?.return(undefined)
    await untilServed(pair.connection, limits)
    await other.return(undefined)
  })
  await followed[1]?.return(undefined)
})

/** The server hears of the end of a stream a moment after the asker. */
async function untilServed(connection: Connection, limits: ProtocolLimits): Promise<void> {
  for (let tries = 0; (await ask(connection, limits)) !== 'line'; tries++) assert.ok(tries < 200, 'no place came back')
}

test('a long stream of answers has a handful of timers, not one for each message', async () => {
  await using pair = await startNodePair()
  await serveTest(pair, LIMITS, async function* () {
    for (let i = 0; i < 3000; i++) yield line(`${i}`)
  })
  const live = new Set<number>()
  const hook = createHook({
    init: (id, type) => void (type === 'Timeout' && live.add(id)),
    destroy: (id) => void live.delete(id),
  }).enable()
  try {
    let seen = 0
    const { signal } = new AbortController()
    for await (const _ of requestStream(pair.connection, LIMITS, { ...ASK, message: {} }, { signal })) seen++
    assert.equal(seen, 3000)
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(live.size < 30, `${live.size} timers`)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  } finally {
    hook.disable()
  }
})
