/** The answering side of a protocol: bounded in streams, time and frames, and never silent about a refusal. Spec: spec/PROTOCOL.md#exchanges. */
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { Connection, Stream, StreamHandler, StreamHandlerOptions } from '@libp2p/interface'
import { TrustedPodsError } from '../errors.ts'
import type { Refusal } from '../gen/trustedpods/v0/refusal_pb.ts'
import type { Logger } from '../logger.ts'
import { Deadline, toWireError } from './deadline.ts'
import { type ExchangeSlot, ExchangeSlots } from './exchange-slots.ts'
import { type Framed, framed } from './framing.ts'
import { type ProtocolLimits, REQUEST_TIMEOUT_MS } from './protocols.ts'
import { toRefusal } from './refusal.ts'

/** What serving needs of a libp2p node. */
export interface Host {
  handle(protocol: string, handler: StreamHandler, options?: StreamHandlerOptions): Promise<void>
  unhandle(protocol: string): Promise<void>
}

/** Who asks, and until when an answer is of use. */
export interface Caller {
  readonly connection: Connection
  /** Aborts at the deadline of a single answer, when the stream is closed, and when the connection is lost. */
  readonly signal: AbortSignal
}

export interface Service<Q extends DescMessage, A extends DescMessage> {
  readonly request: Q
  readonly response: A
  /** The answer that carries a refusal. */
  refuse(refusal: Refusal): MessageInitShape<A>
  /** One answer, or each answer of a stream. A TrustedPodsError thrown becomes the refusal. */
  answer(message: MessageShape<Q>, caller: Caller): Promise<MessageInitShape<A>> | AsyncIterable<MessageInitShape<A>>
}

export interface ServeOptions {
  readonly log: Logger
  /** Longest wait for the whole request; default 10 s, and never more than the protocol's own limit. */
  readonly requestTimeoutMs?: number
}

/** Serves one protocol until `unhandle`. */
export async function serve<Q extends DescMessage, A extends DescMessage>(
  host: Host,
  limits: ProtocolLimits,
  service: Service<Q, A>,
  { log, requestTimeoutMs = REQUEST_TIMEOUT_MS }: ServeOptions,
): Promise<void> {
  const slots = new ExchangeSlots(limits)
  const context = { limits, service, log, requestTimeoutMs: Math.min(requestTimeoutMs, limits.timeoutMs) }
  await host.handle(
    limits.id,
    async (stream, connection) => {
      using slot = slots.open(connection.remotePeer.toString())
      await answer(stream, connection, { ...context, slot })
    },
    { maxInboundStreams: limits.streamsPerConnection, maxOutboundStreams: limits.streamsPerConnection * 2 },
  )
}

interface Context<Q extends DescMessage, A extends DescMessage> {
  limits: ProtocolLimits
  service: Service<Q, A>
  log: Logger
  requestTimeoutMs: number
  slot: ExchangeSlot
}

async function answer<Q extends DescMessage, A extends DescMessage>(
  stream: Stream,
  connection: Connection,
  context: Context<Q, A>,
): Promise<void> {
  const { limits, log } = context
  const frames = framed(stream, { readBytes: limits.requestBytes, writeBytes: limits.responseBytes })
  try {
    await talk(frames, connection, context)
  } catch (error) {
    const failure = toWireError(error, limits.id)
    const code = failure instanceof TrustedPodsError ? failure.code : 'WIRE_INTERNAL'
    log.info('exchange failed', {
      protocol: limits.id,
      peer: connection.remotePeer.toString(),
      code,
      reason: String(failure),
    })
    frames.abort(error instanceof Error ? error : new Error(String(error)))
  }
}

/** Any refusal is written to the peer; only a failure to write is thrown. */
async function talk<Q extends DescMessage, A extends DescMessage>(
  frames: Framed,
  connection: Connection,
  context: Context<Q, A>,
): Promise<void> {
  const { limits, service, log } = context
  using limit = new Deadline(limits.timeoutMs, { signals: [frames.closed] })
  // Only the sending is limited: a stream of answers may be silent between two.
  const write = (message: MessageInitShape<A>) =>
    limit.during((signal) => frames.write(service.response, message, { signal }))
  try {
    const message = await readRequest(frames, context)
    const answers = service.answer(message, { connection, signal: frames.closed })
    if (Symbol.asyncIterator in answers) {
      for await (const each of answers) await write(each)
    } else await write(await withinDeadline(answers, limits))
  } catch (error) {
    if (frames.closed.aborted) throw error
    const refusal = toRefusal(explain(error, limits, log))
    log.info('refused', {
      protocol: limits.id,
      peer: connection.remotePeer.toString(),
      code: refusal.code,
      reason: refusal.message,
    })
    await write(service.refuse(refusal))
  }
  await limit.during((signal) => frames.close({ signal }))
}

/** The one request of a stream; nothing more is read from it, whatever came of it. */
async function readRequest<Q extends DescMessage, A extends DescMessage>(
  frames: Framed,
  { service, requestTimeoutMs, slot }: Context<Q, A>,
): Promise<MessageShape<Q>> {
  using limit = new Deadline(requestTimeoutMs, { signals: [frames.closed, slot.signal] })
  try {
    const message = await limit.during((signal) => frames.read(service.request, { signal }))
    slot.begin()
    return message
  } finally {
    await frames.discard()
  }
}

/** Our own errors and time-outs as they are; anything else is a fault of ours, told to the log alone. */
function explain(error: unknown, { id }: ProtocolLimits, log: Logger): unknown {
  if (error instanceof TrustedPodsError) return error
  if (error instanceof Error && error.name === 'TimeoutError') return toWireError(error, id)
  log.error('handler failed', {
    protocol: id,
    reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
  })
  return error
}

async function withinDeadline<T>(answer: Promise<T>, { timeoutMs, id }: ProtocolLimits): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new TrustedPodsError('WIRE_TIMEOUT', `${id} took over ${timeoutMs} ms`)),
    timeoutMs,
  )
  try {
    return await Promise.race([answer, promise])
  } finally {
    clearTimeout(timer)
  }
}
