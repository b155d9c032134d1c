/** Headers on their way through the front: what belongs to one hop ends here, what claims to know the client is replaced. Pure. */
import type { IncomingMessage } from 'node:http'

/** RFC 9110 §7.6.1, with what older senders use. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Meant for the last recipient (RFC 9110 §7.6.1): they stay though `Connection` names them. Without its length a body
 * would be read as a second request. */
const END_TO_END: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'range',
  'set-cookie',
])

/** Ours to say: a client could name any address in them, and how long the body is was decided here. `expect` was answered. */
const REPLACED: ReadonlySet<string> = new Set([
  'content-length',
  'expect',
  'forwarded',
  'host',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-forwarded-server',
  'x-real-ip',
])

/** Name and value in turn, as rawHeaders has them: repeated ones stay apart. */
export type HeaderList = string[]

/** What the pod gets of a request; one that is to be upgraded has no body. @param upgrade value of its `Upgrade`. */
export function requestHeaders(request: IncomingMessage, { upgrade }: { upgrade?: string } = {}): HeaderList {
  const host = request.headers.host ?? ''
  return [
    'Host',
    host,
    ...endToEnd(request)
      .filter(([name]) => !REPLACED.has(name.toLowerCase()))
      .flat(),
    ...['X-Forwarded-For', request.socket.remoteAddress ?? ''],
    ...['X-Forwarded-Host', host],
    ...['X-Forwarded-Proto', 'http'],
    ...(upgrade === undefined
      ? ['Connection', 'close', ...framing(request)]
      : ['Connection', 'Upgrade', 'Upgrade', upgrade]),
  ]
}

/** How the body's end is found, as this side found it. */
function framing({ headers }: IncomingMessage): HeaderList {
  if (headers['transfer-encoding'] !== undefined) return ['Transfer-Encoding', 'chunked']
  return headers['content-length'] === undefined ? [] : ['Content-Length', headers['content-length']]
}

/** What the client gets of an answer. */
export function responseHeaders(response: IncomingMessage): HeaderList {
  return endToEnd(response).flat()
}

/** Host name without port and closing dot, in lower case; undefined for what is no host. */
export function hostOf(header: string | undefined): string | undefined {
  const match = /^([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i.exec(header ?? '')
  return match?.[1]?.toLowerCase().replace(/\.$/, '')
}

function endToEnd({ rawHeaders, headers }: IncomingMessage): [string, string][] {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase())
  const pairs: [string, string][] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) pairs.push([rawHeaders[i] ?? '', rawHeaders[i + 1] ?? ''])
  const isOfHop = (name: string) => HOP_BY_HOP.has(name) || (named.includes(name) && !END_TO_END.has(name))
  return pairs.filter(([name]) => !isOfHop(name.toLowerCase()))
}
