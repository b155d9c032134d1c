/** Blocks of a trustless HTTP gateway that the user has named: unlike one that a stranger has named, it may redirect.
 * Source: specs.ipfs.tech/http-gateways/trustless-gateway. */
import { MAX_BLOCK_BYTES } from '@trusted-pods/protocol/image/block.ts'
import type { BlockSource, ChannelOptions } from '@trusted-pods/protocol/image/block-source.ts'
import type { CID } from 'multiformats/cid'
import { isLoopback } from '../image-registry/registry-connection.ts'
import { createHttpClient, type HttpClient, registryFailed } from '../image-registry/registry-http.ts'
import { requestEach } from './gateway-source.ts'

/** @param gateway http only where it is this machine. */
export function namedGatewaySource(gateway: URL): BlockSource {
  const http = createHttpClient({ allowsPlain: isLoopback })
  return requestEach(`the gateway ${gateway.host}`, (cid, options) => fetchBlock(cid, { ...options, http, gateway }))
}

interface Ask extends ChannelOptions {
  readonly http: HttpClient
  readonly gateway: URL
}

async function fetchBlock(cid: CID, { http, gateway, signal, onBytes }: Ask): Promise<Uint8Array | undefined> {
  const url = new URL(`/ipfs/${cid}?format=raw`, gateway)
  const answer = await http(url, { headers: { accept: 'application/vnd.ipld.raw' }, signal })
  if (answer.status !== 200) {
    await answer.cancel()
    if (answer.status === 404 || answer.status === 410) return undefined
    throw registryFailed(`the gateway ${gateway.host} answers ${answer.status} for block ${cid}`)
  }
  const parts: Uint8Array[] = []
  for await (const chunk of answer.body(MAX_BLOCK_BYTES)) {
    onBytes(chunk.length)
    parts.push(chunk)
  }
  return Uint8Array.from(Buffer.concat(parts))
}
