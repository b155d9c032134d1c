/** A JSON-RPC endpoint before a real node that counts requests by method, and refuses those that it is told to, as public endpoints do. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export interface CountingRpc extends AsyncDisposable {
  readonly rpc: string
  /** HTTP requests with a call of this method, or of any, since the start or `reset`. */
  count(method?: string): number
  reset(): void
  /** Answers with an error where it gives a reason. */
  refuse(rule: (call: Call) => string | undefined): void
}

export interface Call {
  readonly method: string
  readonly params: readonly unknown[]
}

const JSON_TYPE = { 'content-type': 'application/json' }

export async function startCountingRpc(target: string): Promise<CountingRpc> {
  const calls: Call[] = []
  let refusal: (call: Call) => string | undefined = () => undefined
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request)
    const call = JSON.parse(body) as Call & { id: number }
    calls.push(call)
    const message = refusal(call)
    const answer =
      message === undefined
        ? await (await fetch(target, { method: 'POST', body, headers: JSON_TYPE })).text()
        : JSON.stringify({ jsonrpc: '2.0', id: call.id, error: { code: -32_602, message } })
    response.writeHead(200, JSON_TYPE).end(answer)
  }
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    rpc: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: (method) => calls.filter((call) => method === undefined || call.method === method).length,
    reset: () => calls.splice(0),
    refuse: (rule) => {
      refusal = rule
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
