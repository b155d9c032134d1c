/** One request to a pod and its answer back, both as they come. I/O. */
import { type ClientRequest, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { requestHeaders, responseHeaders } from './forward-headers.ts'
import { failureOf, openUpstream, type RouteTarget } from './upstream.ts'

/** Resolves once the exchange is over, however it ended. */
export async function proxyRequest(
  request: IncomingMessage,
  response: ServerResponse,
  target: RouteTarget,
): Promise<void> {
  const outgoing = openUpstream(request, target, requestHeaders(request))
  // The client left: nobody waits for the answer.
  response.once('close', () => outgoing.destroy())
  try {
    // A pod may answer before it has read the whole body and then close: its answer counts, not our failed writing.
    pipeline(request, outgoing).catch(() => {})
    const answer = await answerOf(outgoing)
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? '', responseHeaders(answer))
    await pipeline(answer, response)
  } catch (error) {
    outgoing.destroy()
    if (response.headersSent || response.destroyed) response.destroy()
    else refuse(response, ...failureOf(error))
  }
}

/** A short plain answer of the front's own. */
export function refuse(response: ServerResponse, status: number, text: string): void {
  const retry = status === 503 ? { 'retry-after': '1' } : {}
  // The reason is said anew: a pod's that could not be passed on is still in the response.
  response.writeHead(status, STATUS_CODES[status], {
    'content-type': 'text/plain; charset=utf-8',
    connection: 'close',
    ...retry,
  })
  response.end(`${text}\n`)
}

function answerOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  outgoing.once('response', resolve)
  outgoing.once('error', reject)
  outgoing.once('close', () => reject(new Error('closed without an answer')))
  return promise
}
