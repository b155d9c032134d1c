/** What a JSON-RPC endpoint before a real node needs: a server on a port of its own, and a way to ask the node. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export const JSON_TYPE = { 'content-type': 'application/json' }

export interface RpcServer extends AsyncDisposable {
  readonly rpc: string
}

/** @param serve answers one request; where it throws, the caller sees a closed connection. */
export async function startRpcServer(
  serve: (body: string, response: ServerResponse) => Promise<void>,
): Promise<RpcServer> {
  const server = createServer((request, response) => {
    text(request)
      .then((body) => serve(body, response))
      .catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    rpc: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The node's answer as it is. */
export async function askNode(target: string, body: string): Promise<string> {
  return (await fetch(target, { method: 'POST', body, headers: JSON_TYPE })).text()
}
