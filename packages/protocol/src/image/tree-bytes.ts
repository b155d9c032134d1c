/** How many bytes a provider will have to fetch and keep for an image: what is asked for in a quote. Spec: spec/IMAGES.md#bytes. */
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { decodeDagPb, isDagPb, parseTreeCid, readBlock } from './block.ts'

/**
 * Bytes of all blocks of a tree of our own store, each block once. Only nodes are read: a leaf has the size that its link says.
 * @param cid Binary CIDv1. @throws TrustedPodsError PROVISION_IMAGE_FETCH where a node is not in the store.
 */
export async function treeBytes(
  blockstore: Blockstore,
  cid: Uint8Array,
  { signal }: { signal?: AbortSignal } = {},
): Promise<number> {
  const seen = new Set<string>()
  const add = async (at: CID, leafBytes: number | undefined): Promise<number> => {
    const key = at.toString()
    if (seen.has(key)) return 0
    seen.add(key)
    if (!isDagPb(at) && leafBytes !== undefined) return leafBytes
    const block = await readBlock(blockstore, at, signal)
    let bytes = block.length
    for (const { Hash, Tsize } of isDagPb(at) ? decodeDagPb(at, block).Links : []) bytes += await add(Hash, Tsize)
    return bytes
  }
  return add(parseTreeCid(cid), undefined)
}
