/** Lets a provider pull image blocks from us while it provisions. Spec: spec/IMAGES.md#transfer. */
import type { Libp2p, PeerId } from '@libp2p/interface'
import { serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { BLOCKS } from '@trusted-pods/protocol/wire/protocols.ts'
import type { Blockstore } from 'interface-blockstore'

export interface ServeImagesOptions {
  blockstore: Blockstore
  /** The one peer that may pull. */
  peerId: string
  /** Called with the bytes of each block that was sent. */
  onSent?: ((bytes: number) => void) | undefined
}

/** Serves until it is disposed. */
export async function serveImages(
  node: Libp2p,
  { blockstore, peerId, onSent }: ServeImagesOptions,
): Promise<AsyncDisposable> {
  const allow = (peer: PeerId) => peer.toString() === peerId
  await serveBlocks(node, { blockstore, allow, ...(onSent && { onSent }) })
  return { [Symbol.asyncDispose]: () => node.unhandle(BLOCKS.id) }
}
