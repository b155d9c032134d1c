/** Pulls a tree from a trustless HTTP gateway, block by block, each hashed before it is stored.
 * Source: specs.ipfs.tech/http-gateways/trustless-gateway. */
import { isBlockOf, MAX_BLOCK_BYTES } from '@trusted-pods/protocol/image/block.ts'
import { TreeWalk } from '@trusted-pods/protocol/image/tree-walk.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { isLoopback } from '../image-registry/registry-connection.ts'
import { createHttpClient, type HttpClient, registryFailed } from '../image-registry/registry-http.ts'

/** Requests at once: hides the round trip; a gateway that limits its guests bears it. */
const REQUESTS = 6

export interface GatewayFetchOptions {
  readonly cid: CID
  readonly blockstore: Blockstore
  /** Cap on all blocks of the tree together. */
  readonly maxBytes: number
  readonly signal: AbortSignal
  readonly onProgress?: (fetchedBytes: number) => void
}

/** @throws TrustedPodsError PLATFORM_IMAGE_REGISTRY when the gateway lacks or falsifies a block, PROVISION_IMAGE_FETCH past the cap. */
export async function fetchTreeFromGateway(gateway: URL, options: GatewayFetchOptions): Promise<void> {
  const stopped = new AbortController()
  const signal = AbortSignal.any([options.signal, stopped.signal])
  const walk = new TreeWalk(options.cid, { ...options, signal, onHeld: () => {} })
  const http = createHttpClient({ allowsPlain: isLoopback })
  const pulls = Array.from({ length: REQUESTS }, () => pull(walk, { ...options, signal, http, gateway }))
  for (const each of pulls) each.catch((error) => stopped.abort(error))
  await Promise.allSettled(pulls)
  signal.throwIfAborted()
}

interface Pull extends GatewayFetchOptions {
  readonly http: HttpClient
  readonly gateway: URL
}

async function pull(walk: TreeWalk, options: Pull): Promise<void> {
  for (let batch = await walk.next(); batch; batch = await walk.next())
    for (const cid of batch) {
      const bytes = await fetchBlock(cid, options)
      await options.blockstore.put(cid, bytes)
      walk.accept(cid, bytes)
      options.onProgress?.(walk.bytes)
    }
}

async function fetchBlock(cid: CID, { http, gateway, signal }: Pull): Promise<Uint8Array> {
  const url = new URL(`/ipfs/${cid}?format=raw`, gateway)
  const answer = await http(url, { headers: { accept: 'application/vnd.ipld.raw' }, signal })
  if (answer.status !== 200) {
    await answer.cancel()
    throw registryFailed(`the gateway ${gateway.host} answers ${answer.status} for block ${cid}`)
  }
  const parts: Uint8Array[] = []
  for await (const chunk of answer.body(MAX_BLOCK_BYTES)) parts.push(chunk)
  const bytes = Uint8Array.from(Buffer.concat(parts))
  if (await isBlockOf(cid, bytes)) return bytes
  throw registryFailed(`what the gateway ${gateway.host} sent as block ${cid} has another hash`)
}
