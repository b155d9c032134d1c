/** Blocks of a trustless HTTP gateway, one request for each, over connections that stay open. No redirects, no credentials, no cookies.
 * Source: specs.ipfs.tech/http-gateways/trustless-gateway. Spec: spec/IMAGES.md#sources-of-blocks. */
import type { LookupAddress } from 'node:dns'
import { Agent as HttpAgent, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { MAX_BLOCK_BYTES } from '@trusted-pods/protocol/image/block.ts'
import type { BlockSource, ChannelOptions } from '@trusted-pods/protocol/image/block-source.ts'
import type { CID } from 'multiformats/cid'

/** Requests at once: hides the round trip; a gateway that limits its guests bears it. */
const REQUESTS = 6

export interface GatewayOptions {
  /** For messages. */
  readonly name: string
  /** Where the gateway may be reached; absent: wherever its name leads. */
  readonly resolve?: (host: string, port: number) => Promise<readonly LookupAddress[]>
  /** Certificate authorities in place of the usual ones, PEM. */
  readonly ca?: string
}

/** @param origin http or https. */
export function gatewaySource(origin: string, { name, resolve, ca }: GatewayOptions): BlockSource {
  const isSecure = new URL(origin).protocol === 'https:'
  const pool = { keepAlive: true, maxSockets: REQUESTS }
  const agent = isSecure ? new HttpsAgent({ ...pool, ...(ca !== undefined && { ca }) }) : new HttpAgent(pool)
  let resolving: Promise<readonly LookupAddress[]> | undefined
  const connectionOptions = async (): Promise<RequestOptions> => {
    if (!resolve) return { agent }
    resolving ??= resolve(...placeOf(origin))
    return { agent, lookup: answerWith(await resolving) }
  }
  const ask = { name, origin, isSecure, connectionOptions }
  const source = requestEach(name, (cid, options) => fetchBlock(cid, { ...ask, ...options }))
  return { ...source, close: async () => void agent.destroy() }
}

/** A source that is asked for one block with each request. */
export function requestEach(
  name: string,
  fetchOne: (cid: CID, options: ChannelOptions) => Promise<Uint8Array | undefined>,
): BlockSource {
  return {
    name,
    channels: REQUESTS,
    open: (options) => ({
      async *fetch(cids) {
        for (const cid of cids) yield await fetchOne(cid, options)
      },
      async end() {},
      // The signal has ended what was under way.
      abort() {},
    }),
    async close() {},
  }
}

function placeOf(origin: string): [host: string, port: number] {
  const { hostname, port, protocol } = new URL(origin)
  return [hostname.replace(/^\[(.*)\]$/, '$1'), port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)]
}

/** A connection goes to the addresses that were checked; a second look-up could say something else. */
function answerWith(addresses: readonly LookupAddress[]): LookupFunction {
  return (_, { all }, callback) => {
    const [first] = addresses
    if (all) callback(null, [...addresses])
    else if (first) callback(null, first.address, first.family)
  }
}

interface Ask extends ChannelOptions {
  readonly name: string
  readonly origin: string
  readonly isSecure: boolean
  connectionOptions(): Promise<RequestOptions>
}

async function fetchBlock(cid: CID, { name, origin, isSecure, connectionOptions, signal, onBytes }: Ask) {
  const options = { ...(await connectionOptions()), signal, headers: { accept: 'application/vnd.ipld.raw' } }
  const url = new URL(`/ipfs/${cid}?format=raw`, origin)
  const asked = isSecure ? requestHttps(url, options) : requestHttp(url, options)
  asked.end()
  const answer = await answerTo(asked).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw failed(`${name} could not be reached`, cause)
  })
  if (answer.statusCode === 404 || answer.statusCode === 410) {
    answer.destroy()
    return undefined
  }
  if (answer.statusCode !== 200) {
    answer.destroy()
    throw failed(`${name} answers ${answer.statusCode} for block ${cid}`)
  }
  return readBlock(answer, { name, signal, onBytes })
}

function answerTo(asked: ReturnType<typeof requestHttp>): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  asked.once('response', resolve)
  // Stays: whoever reads the body is told of what ends it.
  asked.on('error', reject)
  // All that comes of an answer that changes the protocol: Node drops that connection, and no signal ends the request any more.
  asked.once('close', () => reject(new Error('closed without an answer')))
  return promise
}

async function readBlock(
  answer: IncomingMessage,
  { name, signal, onBytes }: ChannelOptions & { name: string },
): Promise<Uint8Array> {
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of answer) {
      length += part.length
      if (length > MAX_BLOCK_BYTES) throw failed(`${name} answers with over ${MAX_BLOCK_BYTES} bytes`)
      onBytes(part.length)
      parts.push(part)
    }
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof TrustedPodsError ? error : failed(`${name} broke off`, error)
  }
  return new Uint8Array(Buffer.concat(parts))
}

function failed(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', message, cause === undefined ? {} : { cause })
}
