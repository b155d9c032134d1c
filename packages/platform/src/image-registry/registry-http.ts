/**
 * One HTTP exchange with a registry: redirects followed by hand, so that no credentials leave the host that they are for;
 * answers bounded; silence bounded, not the whole. Spec: spec/IMAGES.md#registry.
 */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

/** 30 s of waiting for the next 32 KiB: about 1 KiB/s; a registry that is slower than that is gone. */
const SILENCE_MS = 30_000
const LEAST_BYTES = 32 * 1024
const MAX_REDIRECTS = 5
/** What we read of an error, a token or an upload's answer. */
const MAX_TEXT_BYTES = 1024 * 1024
const MAX_QUOTE = 200

export interface HttpRequest {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  /** Sent to the first host only. */
  readonly authorization?: string | undefined
  readonly body?: Uint8Array<ArrayBuffer> | string | AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal | undefined
}

export interface HttpOptions {
  /** Whether this URL may be asked without TLS. */
  readonly allowsPlain: (url: URL) => boolean
  readonly silenceMs?: number
}

export interface HttpAnswer {
  /** Where the answer came from in the end. */
  readonly url: URL
  readonly status: number
  readonly headers: Headers
  /** At most `maxBytes`; to be read once, and read or cancelled. */
  body(maxBytes: number): AsyncIterable<Uint8Array>
  /** A small answer. @throws TrustedPodsError PLATFORM_IMAGE_REGISTRY when it is not small. */
  text(): Promise<string>
  cancel(): Promise<void>
}

export type HttpClient = (url: URL, request?: HttpRequest) => Promise<HttpAnswer>

export function createHttpClient({ allowsPlain, silenceMs = SILENCE_MS }: HttpOptions): HttpClient {
  return async (first, request = {}) => {
    let url = first
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const isFirstHost = url.origin === first.origin
      // A registry with TLS that sends us on to a plain address would have us ask whatever listens on this machine.
      checkPlain(url, (each) => first.protocol === 'http:' && allowsPlain(each))
      const answer = await exchange(url, { ...request, ...(!isFirstHost && { authorization: undefined }) }, silenceMs)
      const next = redirectOf(answer, request)
      if (!next) return answer
      await answer.cancel()
      url = next
    }
    throw registryFailed(`${first.host} redirects more than ${MAX_REDIRECTS} times`)
  }
}

function checkPlain(url: URL, allowsPlain: HttpOptions['allowsPlain']): void {
  if (url.protocol === 'https:' || (url.protocol === 'http:' && allowsPlain(url))) return
  throw registryFailed(
    `${url.protocol}//${url.host} is not asked: only https, and http on this machine or where --plain-http allows it`,
  )
}

/** A body is not sent twice: uploads are not redirected. */
function redirectOf({ status, headers, url }: HttpAnswer, { method = 'GET' }: HttpRequest): URL | undefined {
  const location = headers.get('location')
  if (![301, 302, 303, 307, 308].includes(status) || location === null) return undefined
  if (method !== 'GET' && method !== 'HEAD') return undefined
  if (!URL.canParse(location, url)) throw registryFailed(`${url.host} redirects to no address`)
  const next = new URL(location, url)
  // What stands there would be sent as credentials.
  Object.assign(next, { username: '', password: '' })
  return next
}

async function exchange(url: URL, request: HttpRequest, silenceMs: number): Promise<HttpAnswer> {
  const { method = 'GET', headers, authorization, body, signal } = request
  const silence = new Silence(silenceMs, signal)
  try {
    silence.start()
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: { 'accept-encoding': 'identity', ...headers, ...(authorization !== undefined && { authorization }) },
      signal: silence.signal,
      ...(body !== undefined && bodyOf(body, silence)),
    })
    silence.stop()
    return answerOf(url, response, silence)
  } catch (cause) {
    silence.stop()
    throw silence.reasonOf(cause, url)
  }
}

function bodyOf(body: NonNullable<HttpRequest['body']>, silence: Silence): object {
  if (typeof body === 'string' || body instanceof Uint8Array) return { body }
  return { body: silence.watch(body), duplex: 'half' }
}

function answerOf(url: URL, response: Response, silence: Silence): HttpAnswer {
  const read = async function* (maxBytes: number): AsyncGenerator<Uint8Array> {
    let length = 0
    try {
      silence.start()
      for await (const chunk of response.body ?? []) {
        length += chunk.length
        if (length > maxBytes) throw registryFailed(`${url.host} answers with over ${maxBytes} bytes`)
        silence.stop(chunk.length)
        yield chunk
        silence.start()
      }
    } catch (cause) {
      throw silence.reasonOf(cause, url)
    } finally {
      silence.stop()
    }
  }
  return {
    url,
    status: response.status,
    headers: response.headers,
    body: read,
    async text() {
      const parts: Uint8Array[] = []
      for await (const chunk of read(MAX_TEXT_BYTES)) parts.push(chunk)
      return Buffer.concat(parts).toString('utf8')
    },
    async cancel() {
      // Whatever is left of it is of no use to us.
      await response.body?.cancel().catch(() => {})
    },
  }
}

/** Aborts an exchange in which too little has come or gone for too long; the time that we take ourselves does not count. */
class Silence {
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #outer: AbortSignal | undefined
  readonly #silenceMs: number
  #leftMs: number
  #startedAt = 0
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(silenceMs: number, outer: AbortSignal | undefined) {
    this.#silenceMs = silenceMs
    this.#leftMs = silenceMs
    this.#outer = outer
    this.signal = outer ? AbortSignal.any([outer, this.#controller.signal]) : this.#controller.signal
  }

  start(): void {
    clearTimeout(this.#timer)
    this.#startedAt = performance.now()
    this.#timer = setTimeout(() => this.#controller.abort(), this.#leftMs)
  }

  stop(bytes = LEAST_BYTES): void {
    clearTimeout(this.#timer)
    this.#leftMs -= performance.now() - this.#startedAt
    this.#bytes += bytes
    if (this.#bytes < LEAST_BYTES) return
    this.#leftMs = this.#silenceMs
    this.#bytes = 0
  }

  async *watch(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      this.stop(chunk.length)
      this.start()
      yield chunk
    }
  }

  reasonOf(cause: unknown, url: URL): unknown {
    if (this.#outer?.aborted) return this.#outer.reason
    if (cause instanceof TrustedPodsError) return cause
    if (this.#controller.signal.aborted)
      return registryFailed(`${url.host} was silent for ${this.#silenceMs} ms`, cause)
    return registryFailed(`${url.host} does not answer: ${innermost(cause)}`, cause)
  }
}

/** fetch says no more than "fetch failed"; the cause says why. */
function innermost(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return innermost(error.cause)
  return ('code' in error ? `${String(error.code)} ` : '') + error.message.slice(0, MAX_QUOTE)
}

export function registryFailed(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_IMAGE_REGISTRY', message, cause === undefined ? {} : { cause })
}

/** A registry's own words, bounded and on one line. */
export function quoted(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .slice(0, MAX_QUOTE)
}
