/** A JSON-RPC endpoint that passes requests on to a real node, and fails in the ways that real endpoints fail. */
import type { ServerResponse } from 'node:http'
import { askNode, JSON_TYPE, type RpcServer, startRpcServer } from './rpc-server.ts'

/**
 * pass: no fault. lose-answer: the node gets the request, the caller no answer. hang: no answer, ever. huge: an answer that does not
 * end. stale: the head and what is asked of it are those of when the fault began. wrong-chain: another chain id.
 */
export type Fault =
  | 'pass'
  | 'status-500'
  | 'truncated'
  | 'not-json'
  | 'hang-up'
  | 'lose-answer'
  | 'rate-limit'
  | 'hang'
  | 'huge'
  | 'stale'
  | 'wrong-chain'

export interface FaultyRpc extends RpcServer {
  /** Requests whose method matches fail this way from now on; `times` of them, all by default. */
  fail(fault: Fault, options?: { method?: RegExp; times?: number }): void
  /** Refuses to give the logs of more blocks than this at once, as public endpoints do. */
  limitLogs(blocks: bigint): void
}

export interface FaultyRpcOptions {
  /** Told of each request's method. */
  readonly onRequest?: (method: string) => void
}

export async function startFaultyRpc(target: string, { onRequest }: FaultyRpcOptions = {}): Promise<FaultyRpc> {
  let rule: { fault: Fault; method: RegExp; left: number } = { fault: 'pass', method: /^/, left: 0 }
  let staleAt: Promise<string> | undefined
  let logBlocks: bigint | undefined
  const server = await startRpcServer(async (body, response) => {
    const { method } = JSON.parse(body) as { method: string }
    onRequest?.(method)
    if (logBlocks !== undefined && method === 'eth_getLogs' && spanOf(body) > logBlocks) {
      const error = { code: -32_602, message: `block range is too large, at most ${logBlocks}` }
      response.writeHead(200, JSON_TYPE).end(JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(body).id, error }))
      return
    }
    const applies = rule.left > 0 && rule.method.test(method)
    if (applies) rule.left--
    const isStale = applies && rule.fault === 'stale'
    const answer = async () => askNode(target, isStale && staleAt ? asOf(body, await staleAt) : body)
    await respond(response, applies ? rule.fault : 'pass', { answer, method })
  })
  return {
    ...server,
    fail: (fault, { method = /^/, times = Number.POSITIVE_INFINITY } = {}) => {
      rule = { fault, method, left: times }
      staleAt = fault === 'stale' ? headOf(target) : undefined
    },
    limitLogs: (blocks) => {
      logBlocks = blocks
    },
  }
}

/** Blocks that a question for logs is about. */
function spanOf(body: string): bigint {
  const [{ fromBlock, toBlock }] = JSON.parse(body).params as [{ fromBlock: string; toBlock: string }]
  return BigInt(toBlock) - BigInt(fromBlock) + 1n
}

/** The block number now, as hex. */
async function headOf(target: string): Promise<string> {
  const body = '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
  return (JSON.parse(await askNode(target, body)) as { result: string }).result
}

/** The same question, about the block of this number in place of the newest. */
function asOf(body: string, head: string): string {
  const request = JSON.parse(body) as { method: string; params?: unknown[] }
  if (request.method === 'eth_blockNumber')
    return JSON.stringify({ ...request, method: 'eth_getBlockByNumber', params: [head, false] })
  const params = request.params?.map((param) => (param === 'latest' || param === 'pending' ? head : param))
  return JSON.stringify({ ...request, params })
}

/** Of a question for the head, the answer that `asOf` has made a block is made a number again. */
function numberOf(answer: string): string {
  const parsed = JSON.parse(answer) as { result?: { number?: string; transactions?: unknown } }
  return JSON.stringify({ ...parsed, result: parsed.result?.number ?? parsed.result })
}

interface Asked {
  readonly method: string
  answer(): Promise<string>
}

async function respond(response: ServerResponse, fault: Fault, { answer, method }: Asked): Promise<void> {
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
    case 'hang':
      return
    case 'stale': {
      const whole = await answer()
      response.writeHead(200, JSON_TYPE).end(method === 'eth_blockNumber' ? numberOf(whole) : whole)
      return
    }
    case 'wrong-chain': {
      const whole = await answer()
      response
        .writeHead(200, JSON_TYPE)
        .end(method === 'eth_chainId' ? whole.replace(/"0x[0-9a-f]+"/, '"0xdead"') : whole)
      return
    }
    case 'huge': {
      response.writeHead(200, JSON_TYPE)
      const more = () => {
        while (!response.destroyed && response.write(' '.repeat(65_536)));
      }
      response.on('drain', more)
      more()
      return
    }
  }
}
