/** The front's side of a connection to a pod. I/O. */
import { type ClientRequest, type IncomingMessage, request as openRequest } from 'node:http'

/** 5 s: a pod is one bridge away; what does not take a connection by then is not there. */
const CONNECT_TIMEOUT_MS = 5_000

/** 120 s until the answer begins: long polls wait up to a minute. */
const ANSWER_TIMEOUT_MS = 120_000

/** Where a pod listens. */
export interface RouteTarget {
  readonly address: string
  readonly port: number
}

/** The request to the pod, without its body yet. Ends with an error of `failureOf` when the pod does not answer in time. */
export function openUpstream(
  request: IncomingMessage,
  { address, port }: RouteTarget,
  headers: string[],
): ClientRequest {
  const outgoing = openRequest({
    host: address,
    port,
    method: request.method,
    path: request.url,
    headers,
    agent: false,
  })
  const timer = setTimeout(() => outgoing.destroy(new UpstreamTimeout('connect')), CONNECT_TIMEOUT_MS)
  outgoing.once('socket', (socket) => socket.once('connect', () => clearTimeout(timer)))
  outgoing.once('close', () => clearTimeout(timer))
  let isAnswered = false
  outgoing.once('response', () => {
    isAnswered = true
  })
  outgoing.setTimeout(ANSWER_TIMEOUT_MS, () => {
    if (!isAnswered) outgoing.destroy(new UpstreamTimeout('answer'))
  })
  return outgoing
}

/** Status and words for a pod that did not answer: nothing of the inside is told. */
export function failureOf(error: unknown): [number, string] {
  if (error instanceof UpstreamTimeout) {
    return error.step === 'connect' ? [503, 'the pod does not answer'] : [504, 'the pod took too long to answer']
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const isAway = ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ETIMEDOUT'].includes(code)
  return isAway ? [503, 'the pod does not answer'] : [502, 'the pod broke off its answer']
}

class UpstreamTimeout extends Error {
  readonly step: 'connect' | 'answer'

  constructor(step: 'connect' | 'answer') {
    super(`no ${step} in time`)
    this.step = step
  }
}
