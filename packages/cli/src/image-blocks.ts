/** Blocks of a published image between machines: pulled into this machine's store, or served from it. */
import { join } from 'node:path'
import { addTree } from '@trusted-pods/platform/block-files.ts'
import { loadOrCreateIdentity } from '@trusted-pods/platform/identity.ts'
import type { ImageCache } from '@trusted-pods/platform/image-cache.ts'
import type { TreeRecord } from '@trusted-pods/platform/image-records.ts'
import { namedGatewaySource } from '@trusted-pods/platform/images/gateway-fetch.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { fetchTree, serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { fetchTreeFrom, type TreeProgress } from '@trusted-pods/protocol/image/fetch-tree.ts'
import { dial } from '@trusted-pods/publisher/dial.ts'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { openNode } from './connections.ts'
import type { Context } from './context.ts'
import { openImageStore } from './image-store.ts'
import { formatBytes, formatPart } from './units.ts'

/** 256 GiB: no image is that large, and a liar fills no more of the disk. */
const MAX_TREE_BYTES = 256 * 2 ** 30
/** A day, to write it to another place too, or to go on after a cut. */
const KEEP_FETCHED_MS = 24 * 3600_000
const PROGRESS_INTERVAL_MS = 2_000
/** Any address of this machine, a port of the system's choice. */
const LISTEN = ['/ip4/0.0.0.0/tcp/0']

/** Pulls from the addresses in their order until the tree is whole; what one has given is not asked of the next.
 * @throws what the last one failed by. */
export async function fetchImageBlocks(context: Context, cid: CID, addresses: readonly string[]): Promise<void> {
  await using store = openImageStore(context)
  const cache = await store.cache()
  const { blockstore } = cache
  await using run = await cache.begin(context)
  const expected = await expectTree(cache, cid)
  let failure: unknown
  for (const address of addresses) {
    try {
      await fetchFrom(context, address, { cid, blockstore })
      const bytes = await addTree(blockstore, cid, new Set())
      await cache.trees.save({ ...expected, bytes })
      await run.finish()
      return
    } catch (error) {
      context.signal.throwIfAborted()
      failure = error
      context.output.progress(`not all of it is at ${address}: ${error instanceof Error ? error.message : error}`)
    }
  }
  throw failure
}

/** What has come of it so far stays for the next try. */
async function expectTree({ trees }: ImageCache, cid: CID): Promise<TreeRecord> {
  const now = Date.now()
  const known = (await trees.load(cid)) ?? {
    cid: `${cid}`,
    bytes: 0,
    createdAt: new Date(now).toISOString(),
    isKept: false,
  }
  const expected = { ...known, until: new Date(now + KEEP_FETCHED_MS).toISOString() }
  await trees.save(expected)
  return expected
}

interface Wanted {
  cid: CID
  blockstore: Blockstore
}

async function fetchFrom(context: Context, address: string, { cid, blockstore }: Wanted): Promise<void> {
  const { signal } = context
  const onProgress = tellFetched(context, cid)
  const options = { cid: cid.bytes, blockstore, maxBytes: MAX_TREE_BYTES, signal, onProgress }
  if (/^https?:\/\//.test(address) && URL.canParse(address)) {
    await fetchTreeFrom([namedGatewaySource(new URL(address))], options)
    return
  }
  const peerId = /\/p2p\/([^/]+)$/.exec(address)?.[1]
  if (peerId === undefined)
    throw new TrustedPodsError('PLATFORM_CONFIG', `${address} is no URL and no multiaddr that ends in /p2p/<peer id>`)
  await using own = await openNode(context)
  await using peer = await dial(own.node, { peerId, multiaddrs: [address] }, { signal })
  await fetchTree(peer.connection, options)
}

function tellFetched({ output }: Context, cid: CID): (bytes: number, tree: TreeProgress) => void {
  let said = { at: performance.now(), bytes: 0 }
  return (bytes, { heldBytes, totalBytes }) => {
    const seconds = (performance.now() - said.at) / 1000
    if (seconds * 1000 < PROGRESS_INTERVAL_MS) return
    const pace = `${formatBytes((bytes - said.bytes) / seconds)}/s`
    output.progress(`ipfs:${cid}: ${formatPart(heldBytes, totalBytes)}, ${pace}`)
    said = { at: performance.now(), bytes }
  }
}

function tellSent({ output }: Context): (bytes: number) => void {
  const sent = { bytes: 0, saidAt: 0 }
  return (bytes) => {
    sent.bytes += bytes
    if (performance.now() - sent.saidAt < PROGRESS_INTERVAL_MS) return
    sent.saidAt = performance.now()
    output.progress(`${formatBytes(sent.bytes)} sent so far`)
  }
}

/** Serves the store to whoever knows a CID, until the user ends it. */
export async function serveImageBlocks(context: Context, cid: CID, blockstore: Blockstore): Promise<void> {
  const { output, signal, stateFolder } = context
  const privateKey = await loadOrCreateIdentity(join(stateFolder, 'identity.key'))
  const { createNode } = await import('@trusted-pods/platform/libp2p-node.ts')
  const node = await createNode({ privateKey, listen: LISTEN })
  try {
    await serveBlocks(node, { blockstore, onSent: tellSent(context) })
    for (const address of node.getMultiaddrs())
      output.next(`trustedpods image fetch ipfs:${cid} <dst> --from ${address}`)
    output.progress('serving until you end it with Ctrl-C')
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  } finally {
    await node.stop()
  }
}
