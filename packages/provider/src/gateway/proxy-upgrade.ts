/** A connection that becomes a WebSocket (RFC 6455): after the pod's 101 the bytes of both sides pass unread. I/O. */
import { type ClientRequest, type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { requestHeaders, responseHeaders } from './forward-headers.ts'
import { failureOf, openUpstream, type RouteTarget } from './upstream.ts'

/** 2 s: what one side still sends after the other has ended; a WebSocket says goodbye before that (RFC 6455 §7). */
const LINGER_MS = 2_000

/** Resolves once both sides are closed. @param head what the client sent after its headers. */
export async function proxyUpgrade(
  request: IncomingMessage,
  { socket, head }: { socket: Duplex; head: Uint8Array },
  target: RouteTarget,
): Promise<void> {
  const outgoing = openUpstream(request, target, requestHeaders(request, { upgrade: 'websocket' }))
  socket.once('close', () => outgoing.destroy())
  try {
    outgoing.end()
    const answer = await upgradeAnswer(outgoing)
    if (answer.upstream) await joinBoth(socket, head, { ...answer, upstream: answer.upstream })
    else await passRefusal(socket, answer.response)
  } catch (error) {
    outgoing.destroy()
    if (!socket.destroyed) refuseUpgrade(socket, ...failureOf(error))
  }
}

/** The front's own answer on a socket that has no ServerResponse; closes it, whether or not the client ends its side. */
export function refuseUpgrade(socket: Duplex, status: number, text: string): void {
  const retry = status === 503 ? 'Retry-After: 1\r\n' : ''
  // What was sent and nobody read would turn the close into a reset, which takes the answer with it.
  socket.resume()
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n${retry}Connection: close\r\n\r\n${text}\n`,
    () => socket.destroy(),
  )
}

interface UpgradeAnswer {
  readonly response: IncomingMessage
  /** Absent: the pod refused and answered as to any request. */
  readonly upstream?: Socket
  readonly upstreamHead: Uint8Array
}

function upgradeAnswer(outgoing: ClientRequest): Promise<UpgradeAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<UpgradeAnswer>()
  outgoing.once('upgrade', (response, upstream, upstreamHead) => resolve({ response, upstream, upstreamHead }))
  outgoing.once('response', (response) => resolve({ response, upstreamHead: new Uint8Array() }))
  outgoing.once('error', reject)
  outgoing.once('close', () => reject(new Error('closed without an answer')))
  return promise
}

async function joinBoth(
  socket: Duplex,
  head: Uint8Array,
  { response, upstream, upstreamHead }: UpgradeAnswer & { upstream: Socket },
): Promise<void> {
  withHead(socket, response, ['Connection', 'Upgrade', 'Upgrade', 'websocket'])
  upstream.setTimeout(0)
  socket.write(upstreamHead)
  upstream.write(head)
  const closeBoth = () => {
    socket.destroy()
    upstream.destroy()
  }
  // Either side may end or break off at any time; the other is closed with it.
  const directions = [pipeline(socket, upstream), pipeline(upstream, socket)]
  await Promise.race(directions).catch(() => {})
  const timer = setTimeout(closeBoth, LINGER_MS)
  await Promise.allSettled(directions)
  clearTimeout(timer)
  closeBoth()
}

/** The pod's own refusal, whole or not at all. */
async function passRefusal(socket: Duplex, response: IncomingMessage): Promise<void> {
  socket.resume()
  await pipeline(response, withHead(socket, response, ['Connection', 'close'])).finally(() => socket.destroy())
}

function withHead(socket: Duplex, response: IncomingMessage, own: string[]): Duplex {
  const pairs = [...responseHeaders(response), ...own]
  const lines = pairs.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${pairs[i + 1]}`] : []))
  socket.write(`HTTP/1.1 ${response.statusCode} ${response.statusMessage}\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  return socket
}
