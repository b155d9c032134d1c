/**
 * One container engine behind its unix socket: requests of the Docker Engine API, which Podman speaks too, in the version
 * that the engine itself names. What the requests mean stands in images.ts, containers.ts, networks.ts, volumes.ts, logs.ts
 * and events.ts. I/O. Source: docs.docker.com/reference/api/engine.
 */
import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { at, listAt, textAt } from './json-view.ts'

/** 120 s: `stop` waits for the container's own end, and a cold engine takes seconds for a network. */
const REQUEST_TIMEOUT_MS = 120_000

/** 64 MiB: inspect and list answers are below 1 MiB; more is an engine gone wrong. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** An engine's own words in our errors, characters. */
const MAX_MESSAGE = 500

export interface EngineRequest {
  /** Absent: GET. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Path below the API version, each segment encoded by the caller. */
  readonly path: string
  /** undefined values are left out; objects are sent as JSON, as `filters` wants. */
  readonly query?: Readonly<Record<string, string | number | boolean | object | undefined>>
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it comes, as a tar. */
  readonly body?: AsyncIterable<Uint8Array>
  /** Refusals that the caller reads itself, as 404. */
  readonly accept?: readonly number[]
  readonly signal?: AbortSignal | undefined
}

export interface EngineAnswer {
  readonly status: number
  /** Parsed body; undefined when empty. */
  readonly value: unknown
}

/** An answer that is read as it comes. */
export interface EngineStream extends AsyncIterable<Uint8Array> {
  readonly status: number
}

export interface Engine {
  readonly socket: string
  /** `Docker Engine` or `Podman Engine`. */
  readonly name: string
  /** The engine's own version, as 20.10.24+dfsg1. */
  readonly version: string
  /** Version of the API spoken, as 1.41. */
  readonly apiVersion: string
  /** Whether the engine is a child made by us rather than one that the machine has. */
  readonly embedded: boolean
  /** One exchange with a JSON answer. @throws TrustedPodsError PLATFORM_ENGINE_FAILED */
  ask(request: EngineRequest): Promise<EngineAnswer>
  /** One exchange whose answer is read as it comes; the caller reads to the end or aborts. @throws as `ask`. */
  open(request: EngineRequest): Promise<EngineStream>
}

export interface ConnectOptions {
  readonly embedded?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Asks the engine who it is. @throws TrustedPodsError PLATFORM_ENGINE_FAILED when nothing answers at `socket`. */
export async function connectEngine(socket: string, options: ConnectOptions = {}): Promise<Engine> {
  const answer = await answerOf(await send(socket, { path: '/version', signal: deadline(options.signal) }))
  const apiVersion = textAt(answer.value, 'ApiVersion')
  if (answer.status !== 200 || !/^\d{1,3}\.\d{1,3}$/.test(apiVersion)) {
    throw failed(
      `${socket} answered ${answer.status} with API version "${apiVersion.slice(0, 20)}", no engine's answer`,
    )
  }
  const exchange = async (wanted: EngineRequest): Promise<IncomingMessage> => {
    const response = await send(socket, { ...wanted, path: `/v${apiVersion}${wanted.path}` })
    const status = response.statusCode ?? 0
    if (status < 400 || wanted.accept?.includes(status)) return response
    const { value } = await answerOf(response)
    throw failed(`${wanted.method ?? 'GET'} ${wanted.path.slice(0, 200)}: ${status} ${engineMessage(value)}`)
  }
  return {
    socket,
    name: textAt(listAt(answer.value, 'Components')[0], 'Name').startsWith('Podman')
      ? 'Podman Engine'
      : 'Docker Engine',
    version: textAt(answer.value, 'Version'),
    apiVersion,
    embedded: options.embedded ?? false,
    ask: async (wanted) => answerOf(await exchange({ ...wanted, signal: deadline(wanted.signal) })),
    open: async (wanted) => {
      const response = await exchange(wanted)
      return Object.assign(chunksOf(response, wanted.signal), { status: response.statusCode ?? 0 })
    },
  }
}

/** `filters` of a list request: every label must be there. */
export function labelFilter(labels: Readonly<Record<string, string>>): { label: string[] } {
  return { label: Object.entries(labels).map(([name, value]) => `${name}=${value}`) }
}

export function failed(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_ENGINE_FAILED', message, cause === undefined ? {} : { cause })
}

/** What an engine says of a refusal, bounded and on one line. */
export function engineMessage(value: unknown): string {
  const said = textAt(value, 'message') || textAt(value, 'cause') || textAt(at(value, 'errorDetail'), 'message')
  const text = said || (typeof value === 'string' ? value : 'without a reason')
  return text.replaceAll(/\s+/g, ' ').slice(0, MAX_MESSAGE)
}

function deadline(signal: AbortSignal | undefined): AbortSignal {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  return signal ? AbortSignal.any([signal, timeout]) : timeout
}

/** A connection of its own for each request: a kept one dies unseen when the engine is started again. */
async function send(socketPath: string, wanted: EngineRequest): Promise<IncomingMessage> {
  wanted.signal?.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = wanted.json !== undefined ? { 'content-type': 'application/json' } : tarHeaders(wanted)
  const outgoing = request({
    socketPath,
    method: wanted.method ?? 'GET',
    path: wanted.path + queryOf(wanted.query),
    headers: { host: 'engine', ...headers },
    agent: false,
    ...(wanted.signal ? { signal: wanted.signal } : {}),
  })
  outgoing.once('response', resolve).once('error', reject)
  if (wanted.body) pipeline(Readable.from(wanted.body, { objectMode: false }), outgoing).catch(reject)
  else outgoing.end(wanted.json === undefined ? undefined : JSON.stringify(wanted.json))
  try {
    return await promise
  } catch (error) {
    throw unreachable(socketPath, error, wanted.signal)
  }
}

function tarHeaders(wanted: EngineRequest): Record<string, string> {
  return wanted.body ? { 'content-type': 'application/x-tar' } : {}
}

function queryOf(query: EngineRequest['query']): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) search.set(name, typeof value === 'object' ? JSON.stringify(value) : String(value))
  }
  return search.size === 0 ? '' : `?${search}`
}

async function answerOf(response: IncomingMessage): Promise<EngineAnswer> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunksOf(response, undefined)) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) throw failed(`the engine's answer is over ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return { status: response.statusCode ?? 0, value: jsonOf(Buffer.concat(chunks).toString('utf8')) }
}

function jsonOf(text: string): unknown {
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    // Some refusals are plain text; who reads a field of it sees that it is absent.
    return text
  }
}

async function* chunksOf(response: IncomingMessage, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) yield chunk
  } catch (error) {
    throw unreachable('the engine', error, signal)
  } finally {
    response.destroy()
  }
}

function unreachable(where: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof TrustedPodsError) return error
  if (signal?.aborted && !isTimeout(signal.reason)) return signal.reason
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reason = isTimeout(signal?.reason) ? `no answer within ${REQUEST_TIMEOUT_MS} ms` : code || String(error)
  return failed(`${where} does not answer: ${reason}`, error)
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError'
}
