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

const CHUNK_BYTES = 1024 * 1024
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
  { onBlock = () => {} }: FileOptions = {},
): Promise<TreeNode> {
  let parts = await writeLeaves(blockstore, content, onBlock)
  while (parts.length > 1) parts = await writeParents(blockstore, parts, onBlock)
  const [only] = parts
  return only ?? { ...(await putBlock(blockstore, raw.code, new Uint8Array())), fileBytes: 0 }
}

async function writeLeaves(
  blockstore: Blockstore,
  content: Uint8Array | AsyncIterable<Uint8Array>,
  onBlock: (cid: CID) => void,
): Promise<FilePart[]> {
  const leaves: FilePart[] = []
  const underWay: Promise<FilePart>[] = []
  const finishFirst = async () => {
    const leaf = await underWay.shift()
    if (!leaf) return
    onBlock(leaf.cid)
    leaves.push(leaf)
  }
  try {
    for await (const chunk of toChunks(content)) {
      const stored = putBlock(blockstore, raw.code, chunk).then((node) => ({ ...node, fileBytes: chunk.length }))
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
  onBlock: (cid: CID) => void,
): Promise<FilePart[]> {
  const parents: FilePart[] = []
  for (let at = 0; at < parts.length; at += MAX_LINKS) {
    const children = parts.slice(at, at + MAX_LINKS)
    const file = new UnixFS({ type: 'file', blockSizes: children.map(({ fileBytes }) => BigInt(fileBytes)) })
    const links = children.map(({ cid, size }) => ({ Name: '', Hash: cid, Tsize: size }))
    const node = await putNode(blockstore, file, links)
    onBlock(node.cid)
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
  const { cid } = await putBlock(blockstore, dagPb.code, block)
  return { cid, size: block.length + links.reduce((total, { Tsize = 0 }) => total + Tsize, 0) }
}

async function putBlock(blockstore: Blockstore, codec: number, block: Uint8Array): Promise<TreeNode> {
  const cid = CID.createV1(codec, createMultihash(sha256Hasher.code, await sha256(block)))
  await blockstore.put(cid, block)
  return { cid, size: block.length }
}

/** Chunks of 1 MiB, each with memory of its own; the last one is shorter. */
async function* toChunks(content: Uint8Array | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunk = new Uint8Array(content instanceof Uint8Array ? Math.min(content.length, CHUNK_BYTES) : CHUNK_BYTES)
  let length = 0
  for await (const bytes of content instanceof Uint8Array ? [content] : content) {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + CHUNK_BYTES - length)
      chunk.set(part, length)
      length += part.length
      at += part.length
      if (length < CHUNK_BYTES) continue
      yield chunk
      chunk = new Uint8Array(CHUNK_BYTES)
      length = 0
    }
  }
  if (length > 0) yield chunk.slice(0, length)
}
