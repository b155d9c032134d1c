/**
 * The RPC API of an IPFS node that somebody else runs (Kubo), as far as blocks and pins go. Every answer is bounded, silence too.
 * Source: docs.ipfs.tech/reference/kubo/rpc.
 */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { isLoopback } from '../image-registry/registry-connection.ts'
import { createHttpClient, type HttpAnswer, quoted } from '../image-registry/registry-http.ts'

export interface KuboOptions {
  /** `http://127.0.0.1:5001`: what `ipfs config Addresses.API` says, as a URL. */
  readonly url: URL
  /** As Kubo writes it in API.Authorizations: `bearer:TOKEN` or `basic:USER:PASSWORD`. Secret. */
  readonly authSecret?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface KuboCall {
  readonly query?: Readonly<Record<string, string>>
  /** Sent as the one file of a form. */
  readonly file?: Uint8Array
  readonly maxBytes: number
}

/** undefined: the node says that it lacks what was asked for. */
export type KuboRpc = (command: string, call: KuboCall) => Promise<Uint8Array | undefined>

/** Kubo's words, of all versions since 0.11, for what its store lacks. */
const LACKS = /could not find|not found|not pinned/

/** @throws TrustedPodsError PLATFORM_CONFIG for a URL or a secret that cannot be used. */
export function connectKubo({ url, authSecret, signal }: KuboOptions): KuboRpc {
  if (authSecret !== undefined && url.protocol === 'http:' && !isLoopback(url))
    throw new TrustedPodsError('PLATFORM_CONFIG', `${url.origin} is not told the secret without TLS: wanted https`)
  const http = createHttpClient({ allowsPlain: () => true })
  const authorization = authSecret === undefined ? undefined : toHeader(authSecret)
  return async (command, { query, file, maxBytes }) => {
    const target = new URL(`/api/v0/${command}`, url)
    target.search = new URLSearchParams(query).toString()
    const form = file && toForm(file)
    try {
      const request = { method: 'POST', authorization, signal, ...form } as const
      return await readAnswer(await http(target, request), {
        command,
        maxBytes,
        secrets: authSecret === undefined ? undefined : secretsIn(authSecret),
      })
    } catch (cause) {
      throw toNodeError(url, cause)
    }
  }
}

interface Expected {
  command: string
  maxBytes: number
  /** What the answer may not bring into a message; undefined: no secret was shown. */
  secrets: readonly string[] | undefined
}

async function readAnswer(
  answer: HttpAnswer,
  { command, maxBytes, secrets }: Expected,
): Promise<Uint8Array | undefined> {
  if (answer.status === 200) {
    const parts: Uint8Array[] = []
    for await (const chunk of answer.body(maxBytes)) parts.push(chunk)
    return parts.length === 1 ? parts[0] : Uint8Array.from(Buffer.concat(parts))
  }
  const said = messageOf(without(secrets ?? [], await answer.text()))
  if (answer.status === 500 && LACKS.test(said)) return undefined
  if (answer.status === 401 || answer.status === 403)
    throw new TrustedPodsError(
      'PLATFORM_CONFIG',
      `the IPFS node at ${answer.url.origin} refuses ${command} (${answer.status}): ${
        secrets ? 'its API.Authorizations do not allow it with this secret' : 'it wants a secret: ipfsApiAuthFile'
      }`,
    )
  throw nodeFailed(`the IPFS node at ${answer.url.origin} answers ${command} with ${answer.status} ${said}`)
}

/** A node that is none, or a proxy before it, may repeat what it was shown. */
function without(secrets: readonly string[], text: string): string {
  return secrets.reduce((left, secret) => left.replaceAll(secret, '(secret)'), text)
}

/** Each form in which it may be repeated, the longest first. */
function secretsIn(authSecret: string): string[] {
  const [, header = ''] = toHeader(authSecret).split(' ')
  const plain = authSecret.replace(/^(bearer|basic):/, '')
  return [header, plain, plain.slice(plain.indexOf(':') + 1)].filter((text) => text !== '')
}

function messageOf(text: string): string {
  try {
    return quoted(String(JSON.parse(text).Message))
  } catch {
    // Not Kubo's own form: a proxy, or no Kubo at all.
    return quoted(text)
  }
}

function toHeader(secret: string): string {
  const [, scheme = '', rest = ''] = /^(bearer|basic):([\x21-\x7e]+)$/.exec(secret) ?? []
  if (scheme === 'bearer') return `Bearer ${rest}`
  if (scheme === 'basic') return `Basic ${rest.includes(':') ? Buffer.from(rest).toString('base64') : rest}`
  throw new TrustedPodsError('PLATFORM_CONFIG', 'the secret of an IPFS node is bearer:TOKEN or basic:USER:PASSWORD')
}

const BOUNDARY = 'trusted-pods-block'

/** A boundary that the bytes happen to hold would cut them, and the CID that the node then answers tell it. */
function toForm(bytes: Uint8Array) {
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="block"\r\nContent-Type: application/octet-stream\r\n\r\n`
  const body = Uint8Array.from(Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]))
  return { body, headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` } }
}

/** The HTTP client speaks of image registries. */
function toNodeError({ origin }: URL, cause: unknown): unknown {
  if (!(cause instanceof TrustedPodsError) || cause.code !== 'PLATFORM_IMAGE_REGISTRY') return cause
  return nodeFailed(`the IPFS node at ${origin}: ${cause.message}`, cause)
}

export function nodeFailed(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_IPFS_NODE', message, cause === undefined ? {} : { cause })
}
