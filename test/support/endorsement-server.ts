/** A server that speaks the URL forms of AMD's KDS and Intel's PCS from recorded documents, and fails in every way on demand. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface RecordedAnswer {
  readonly body: Uint8Array | string
  readonly headers?: Readonly<Record<string, string>>
}

/** How an answer goes wrong. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: string }
  | { readonly kind: 'hang' }
  /** The connection ends in the middle of the body. */
  | { readonly kind: 'cut' }
  /** A page for people, with 200. */
  | { readonly kind: 'page' }
  | { readonly kind: 'redirect' }
  | { readonly kind: 'endless' }
  | { readonly kind: 'answer'; readonly answer: RecordedAnswer }

export interface EndorsementServer extends AsyncDisposable {
  readonly url: string
  /** Path and query of every request, in order. */
  readonly requests: string[]
  /** By path and query. */
  readonly answers: Map<string, RecordedAnswer>
  /** By the beginning of path and query; set and deleted by the test. */
  readonly faults: Map<string, Fault>
}

export async function startEndorsementServer(answers: Iterable<[string, RecordedAnswer]>): Promise<EndorsementServer> {
  const recorded = new Map(answers)
  const requests: string[] = []
  const faults = new Map<string, Fault>()
  const server = createServer(({ url = '/' }, response) => {
    requests.push(url)
    const fault = [...faults].find(([start]) => url.startsWith(start))?.[1]
    const answer = recorded.get(url)
    if (fault) fail(response, fault, answer)
    else if (answer) response.writeHead(200, answer.headers).end(answer.body)
    else response.writeHead(404, { 'content-type': 'text/plain' }).end('not found')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    answers: recorded,
    faults,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

const PAGE = '<!DOCTYPE html><html><body><h1>Service temporarily unavailable</h1></body></html>'

function fail(response: ServerResponse, fault: Fault, answer: RecordedAnswer | undefined): void {
  switch (fault.kind) {
    case 'status':
      response.writeHead(fault.status, fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter }).end()
      return
    case 'hang':
      return
    case 'cut': {
      const body = Buffer.from(answer?.body ?? PAGE)
      response.writeHead(200, { ...answer?.headers, 'content-length': body.length })
      response.write(body.subarray(0, body.length / 2), () => response.destroy())
      return
    }
    case 'page':
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE)
      return
    case 'redirect':
      response.writeHead(302, { location: '/elsewhere' }).end()
      return
    case 'endless': {
      const more = () => void response.write(new Uint8Array(64 * 1024))
      response.writeHead(200, { 'content-type': 'application/octet-stream' }).on('drain', more)
      more()
      return
    }
    case 'answer':
      response.writeHead(200, fault.answer.headers).end(fault.answer.body)
  }
}
