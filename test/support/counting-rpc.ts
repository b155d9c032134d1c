/** A JSON-RPC endpoint before a real node that counts requests by method, and refuses those that it is told to, as public endpoints do. */
import { askNode, JSON_TYPE, type RpcServer, startRpcServer } from './rpc-server.ts'

export interface CountingRpc extends RpcServer {
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

export async function startCountingRpc(target: string): Promise<CountingRpc> {
  const calls: Call[] = []
  let refusal: (call: Call) => string | undefined = () => undefined
  const server = await startRpcServer(async (body, response) => {
    const call = JSON.parse(body) as Call & { id: number }
    calls.push(call)
    const message = refusal(call)
    const answer =
      message === undefined
        ? await askNode(target, body)
        : JSON.stringify({ jsonrpc: '2.0', id: call.id, error: { code: -32_602, message } })
    response.writeHead(200, JSON_TYPE).end(answer)
  })
  return {
    ...server,
    count: (method) => calls.filter((call) => method === undefined || call.method === method).length,
    reset: () => calls.splice(0),
    refuse: (rule) => {
      refusal = rule
    },
  }
}
