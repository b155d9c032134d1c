/** Lets a provider pull image blocks from us while it provisions. Spec: spec/IMAGES.md#transfer. */
import type { Libp2p } from '@libp2p/interface'
import { serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { BLOCKS } from '@trusted-pods/protocol/wire/protocols.ts'
import type { Blockstore } from 'interface-blockstore'

export interface ServeImagesOptions {
  blockstore: Blockstore
  /** The one peer that may pull. */
  peerId: string
}

/** Serves until it is disposed. */
export async function serveImages(node: Libp2p, { blockstore, peerId }: ServeImagesOptions): Promise<AsyncDisposable> {
  await serveBlocks(node, { blockstore, allow: (peer) => peer.toString() === peerId })
  return { [Symbol.asyncDispose]: () => node.unhandle(BLOCKS.id) }
}
