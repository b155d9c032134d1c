/** A JSON-RPC endpoint that passes requests on to a real node, and fails in the ways that real endpoints fail. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

/** pass: no fault. lose-answer: the node gets the request, the caller no answer. */
export type Fault = 'pass' | 'status-500' | 'truncated' | 'not-json' | 'hang-up' | 'lose-answer' | 'rate-limit'

export interface FaultyRpc extends AsyncDisposable {
  readonly rpc: string
  /** Requests whose method matches fail this way from now on; `times` of them, all by default. */
  fail(fault: Fault, options?: { method?: RegExp; times?: number }): void
}

export async function startFaultyRpc(target: string): Promise<FaultyRpc> {
  let rule: { fault: Fault; method: RegExp; left: number } = { fault: 'pass', method: /^/, left: 0 }
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request)
    const { method } = JSON.parse(body) as { method: string }
    const applies = rule.left > 0 && rule.method.test(method)
    if (applies) rule.left--
    const answer = async () => await (await fetch(target, { method: 'POST', body, headers: JSON_TYPE })).text()
    await respond(response, applies ? rule.fault : 'pass', answer)
  }
  const server = createServer((request, response) => {
    // A node that is gone is one more fault: the caller sees a closed connection.
    serve(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    rpc: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fail: (fault, { method = /^/, times = Number.POSITIVE_INFINITY } = {}) => {
      rule = { fault, method, left: times }
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }

async function respond(response: ServerResponse, fault: Fault, answer: () => Promise<string>): Promise<void> {
  switch (fault) {
    case 'pass':
      response.writeHead(200, JSON_TYPE).end(await answer())
      return
    case 'status-500':
      response.writeHead(500).end('broken')
      return
    case 'truncated': {
      const whole = await answer()
      response.writeHead(200, JSON_TYPE).end(whole.slice(0, whole.length / 2))
      return
    }
    case 'not-json':
      response.writeHead(200, JSON_TYPE).end('<html>sign in</html>')
      return
    case 'rate-limit':
      response
        .writeHead(200, JSON_TYPE)
        .end('{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}')
      return
    case 'lose-answer':
      await answer()
      response.destroy()
      return
    case 'hang-up':
      response.destroy()
      return
  }
}
