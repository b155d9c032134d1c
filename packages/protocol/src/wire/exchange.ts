/** The asking side of a protocol: one request, then one answer or a stream of answers. Spec: spec/PROTOCOL.md#exchanges. */
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { Connection } from '@libp2p/interface'
import { Deadline, deadline, toWireError } from './deadline.ts'
import { type Framed, framed, type SignalOptions } from './framing.ts'
import type { ProtocolLimits } from './protocols.ts'

/** One answer to one request, within the protocol's deadline. @throws TrustedPodsError WIRE_…, never a bare library error. */
export async function request<Q extends DescMessage, A extends DescMessage>(
  connection: Connection,
  limits: ProtocolLimits,
  ask: { request: Q; message: MessageInitShape<Q>; response: A },
  options: SignalOptions = {},
): Promise<MessageShape<A>> {
  const signal = deadline(limits.timeoutMs, options.signal)
  return exchange(connection, limits, signal, async (frames) => {
    await frames.write(ask.request, ask.message, { signal })
    await frames.close({ signal })
    return frames.read(ask.response, { signal })
  })
}

/** Each answer to one request until the peer ends the stream; the deadline holds anew for each. */
export async function* requestStream<Q extends DescMessage, A extends DescMessage>(
  connection: Connection,
  limits: ProtocolLimits,
  ask: { request: Q; message: MessageInitShape<Q>; response: A },
  options: SignalOptions = {},
): AsyncGenerator<MessageShape<A>> {
  using limit = new Deadline(limits.timeoutMs, { signals: [options.signal] })
  const frames = await limit.during((signal) => open(connection, limits, signal))
  try {
    await limit.during((signal) => frames.write(ask.request, ask.message, { signal }))
    await limit.during((signal) => frames.close({ signal }))
    for (;;) {
      const answer = await limit.during((signal) => frames.readOrEnd(ask.response, { signal }))
      if (!answer) return
      yield answer
    }
  } catch (error) {
    throw toWireError(error, limits.id)
  } finally {
    // Frees the stream when the caller stops early; does nothing after a clean end.
    frames.abort(new Error('the exchange is over'))
  }
}

async function exchange<T>(
  connection: Connection,
  limits: ProtocolLimits,
  signal: AbortSignal,
  talk: (frames: Framed) => Promise<T>,
): Promise<T> {
  const frames = await open(connection, limits, signal)
  try {
    return await talk(frames)
  } catch (error) {
    throw toWireError(error, limits.id)
  } finally {
    frames.abort(new Error('the exchange is over'))
  }
}

async function open(connection: Connection, limits: ProtocolLimits, signal: AbortSignal): Promise<Framed> {
  try {
    const stream = await connection.newStream(limits.id, {
      signal,
      maxOutboundStreams: limits.streamsPerConnection * 2,
    })
    return framed(stream, { readBytes: limits.responseBytes, writeBytes: limits.requestBytes })
  } catch (error) {
    throw toWireError(error, limits.id)
  }
}
