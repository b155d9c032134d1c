/** Files and directories as UnixFS, by the profile unixfs-v1-2025 (IPIP-499). Spec: spec/IMAGES.md#tree.
 * (ipfs-unixfs-importer gives the same CIDs; it hashes on the calling thread, where a layer is already hashed three times.) */
import * as dagPb from '@ipld/dag-pb'
import type { Blockstore } from 'interface-blockstore'
import { UnixFS } from 'ipfs-unixfs'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { create as createMultihash } from 'multiformats/hashes/digest'
import { sha256 as sha256Hasher } from 'multiformats/hashes/sha2'
import { sha256 } from '../bytes.ts'
import { BLOCK_BYTES, toBlocks } from './to-blocks.ts'

const MAX_LINKS = 1024
/** Blocks of 1 MiB that are hashed and stored at once: enough to keep a disk busy, and the bound on memory. */
const CONCURRENT_BLOCKS = 4

/** A node that a directory can name. */
export interface TreeNode {
  readonly cid: CID
  /** Bytes of all blocks of the node together, as dag-pb's Tsize has it. */
  readonly size: number
}

/** A part of a file: the node and how much of the file is in it. */
interface FilePart extends TreeNode {
  readonly fileBytes: number
}

export interface FileOptions {
  /** Told in the order of the file when a block is stored. */
  readonly onBlock?: (cid: CID) => void
}

/** @throws whatever the content or the store throws; nothing is under way any more then. */
export async function writeFile(
  blockstore: Blockstore,
  content: Uint8Array | AsyncIterable<Uint8Array>,
  options: FileOptions = {},
): Promise<TreeNode> {
  const isWhole = content instanceof Uint8Array
  if (isWhole && content.length <= BLOCK_BYTES) return putLeaf(blockstore, { bytes: content }, options)
  return writeFileOfBlocks(blockstore, undigested(toBlocks(isWhole ? [content] : content)), options)
}

/** A block of the file; hashed here where it does not come with its SHA-256. */
export interface FileBlock {
  readonly bytes: Uint8Array
  readonly sha256?: Uint8Array
}

/** The same of a file that is cut already, as `toBlocks` does. */
export async function writeFileOfBlocks(
  blockstore: Blockstore,
  blocks: AsyncIterable<FileBlock>,
  options: FileOptions = {},
): Promise<TreeNode> {
  let parts = await writeLeaves(blockstore, blocks, options)
  while (parts.length > 1) parts = await writeParents(blockstore, parts, options)
  const [only] = parts
  return only ?? putLeaf(blockstore, { bytes: new Uint8Array() }, options)
}

async function* undigested(blocks: AsyncIterable<Uint8Array>): AsyncGenerator<FileBlock> {
  for await (const bytes of blocks) yield { bytes }
}

async function putLeaf(blockstore: Blockstore, block: FileBlock, { onBlock }: FileOptions): Promise<TreeNode> {
  const leaf = await putBlock(blockstore, raw.code, block)
  onBlock?.(leaf.cid)
  return leaf
}

async function writeLeaves(
  blockstore: Blockstore,
  blocks: AsyncIterable<FileBlock>,
  { onBlock }: FileOptions,
): Promise<FilePart[]> {
  const leaves: FilePart[] = []
  const underWay: Promise<FilePart>[] = []
  const finishFirst = async () => {
    const leaf = await underWay.shift()
    if (!leaf) return
    onBlock?.(leaf.cid)
    leaves.push(leaf)
  }
  try {
    for await (const block of blocks) {
      const fileBytes = block.bytes.length
      const stored = putBlock(blockstore, raw.code, block).then((node) => ({ ...node, fileBytes }))
      // Waited for in its turn, below or in the end.
      stored.catch(() => {})
      underWay.push(stored)
      if (underWay.length === CONCURRENT_BLOCKS) await finishFirst()
    }
    while (underWay.length > 0) await finishFirst()
  } finally {
    await Promise.allSettled(underWay)
  }
  return leaves
}

async function writeParents(
  blockstore: Blockstore,
  parts: readonly FilePart[],
  { onBlock }: FileOptions,
): Promise<FilePart[]> {
  const parents: FilePart[] = []
  for (let at = 0; at < parts.length; at += MAX_LINKS) {
    const children = parts.slice(at, at + MAX_LINKS)
    const file = new UnixFS({ type: 'file', blockSizes: children.map(({ fileBytes }) => BigInt(fileBytes)) })
    const links = children.map(({ cid, size }) => ({ Name: '', Hash: cid, Tsize: size }))
    const node = await putNode(blockstore, file, links)
    onBlock?.(node.cid)
    parents.push({ ...node, fileBytes: children.reduce((sum, { fileBytes }) => sum + fileBytes, 0) })
  }
  return parents
}

/** One block; entries in the order of their names' bytes, so that equal entries give an equal CID. */
export async function writeDirectory(
  blockstore: Blockstore,
  entries: Readonly<Record<string, TreeNode>>,
): Promise<TreeNode> {
  const links = Object.entries(entries).map(([name, { cid, size }]) => ({ Name: name, Hash: cid, Tsize: size }))
  return putNode(blockstore, new UnixFS({ type: 'directory' }), links)
}

async function putNode(blockstore: Blockstore, content: UnixFS, links: dagPb.PBLink[]): Promise<TreeNode> {
  const block = dagPb.encode(dagPb.prepare({ Data: content.marshal(), Links: links }))
  const { cid } = await putBlock(blockstore, dagPb.code, { bytes: block })
  return { cid, size: block.length + links.reduce((total, { Tsize = 0 }) => total + Tsize, 0) }
}

async function putBlock(blockstore: Blockstore, codec: number, { bytes, ...known }: FileBlock): Promise<TreeNode> {
  const cid = CID.createV1(codec, createMultihash(sha256Hasher.code, known.sha256 ?? (await sha256(bytes))))
  await blockstore.put(cid, bytes)
  return { cid, size: bytes.length }
}
