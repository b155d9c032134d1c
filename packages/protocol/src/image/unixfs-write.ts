/** Files and directories as UnixFS, by the profile unixfs-v1-2025 (IPIP-499). Spec: spec/IMAGES.md#tree. */
import * as dagPb from '@ipld/dag-pb'
import type { Blockstore } from 'interface-blockstore'
import { UnixFS } from 'ipfs-unixfs'
import { importByteStream } from 'ipfs-unixfs-importer'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'

/** CIDv1, raw leaves, 1 MiB chunks, 1024 links. */
const PROFILE = 'unixfs-v1-2025'
/** Blocks of 1 MiB that are hashed and stored at once: enough to keep a disk busy, and the bound on memory. */
const BLOCK_WRITE_CONCURRENCY = 4

/** A node that a directory can name. */
export interface TreeNode {
  readonly cid: CID
  /** Bytes of all blocks of the node together, as dag-pb's Tsize has it. */
  readonly size: number
}

export async function writeFile(
  blockstore: Blockstore,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<TreeNode> {
  const { cid, size } = await importByteStream(content instanceof Uint8Array ? [content] : content, blockstore, {
    profile: PROFILE,
    blockWriteConcurrency: BLOCK_WRITE_CONCURRENCY,
  })
  return { cid, size: Number(size) }
}

/** One block; entries in the order of their names' bytes, so that equal entries give an equal CID. */
export async function writeDirectory(
  blockstore: Blockstore,
  entries: Readonly<Record<string, TreeNode>>,
): Promise<TreeNode> {
  const links = Object.entries(entries).map(([name, { cid, size }]) => ({ Name: name, Hash: cid, Tsize: size }))
  const data = new UnixFS({ type: 'directory' }).marshal()
  const block = dagPb.encode(dagPb.prepare({ Data: data, Links: links }))
  const cid = CID.createV1(dagPb.code, await sha256.digest(block))
  await blockstore.put(cid, block)
  return { cid, size: block.length + links.reduce((total, { Tsize }) => total + Tsize, 0) }
}
