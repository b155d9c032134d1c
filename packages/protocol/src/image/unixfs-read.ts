/**
 * Reads files of a UnixFS tree whose author is not trusted: every block hashed, one block in memory, work bounded by the size
 * that the file claims. (ipfs-unixfs-exporter reads ahead without bound.) Spec: spec/IMAGES.md#tree.
 */
import type { PBNode } from '@ipld/dag-pb'
import type { Blockstore } from 'interface-blockstore'
import { UnixFS } from 'ipfs-unixfs'
import type { CID } from 'multiformats/cid'
import { decodeDagPb, isDagPb, readBlock } from './block.ts'
import { refused } from './refused.ts'

/** Deep enough for a terabyte in the smallest chunks that anybody writes. */
const MAX_DEPTH = 16
/** Leaves may be this small on average; fewer bytes per block would make reading cost more than the content is worth. */
const MIN_BYTES_PER_BLOCK = 4096
const FREE_BLOCKS = 64
/** Nodes have some 60 bytes for each block below them; one that is stuffed, and named again and again, would be hashed each time. */
const MIN_CONTENT_PER_NODE_BYTE = 16
const FREE_NODE_BYTES = 4 * 1024 * 1024

export interface ReadOptions {
  readonly signal?: AbortSignal
}

/** The node at a path of directories. @throws TrustedPodsError PROVISION_IMAGE_REFUSED where there is none. */
export async function resolvePath(
  blockstore: Blockstore,
  root: CID,
  path: readonly string[],
  { signal }: ReadOptions = {},
): Promise<CID> {
  let cid = root
  for (const name of path) {
    const links = await listDirectory(blockstore, cid, signal)
    const next = links.get(name)
    if (!next) throw refused(`the tree has no ${path.join('/')}`)
    cid = next
  }
  return cid
}

async function listDirectory(blockstore: Blockstore, cid: CID, signal?: AbortSignal): Promise<Map<string, CID>> {
  if (!isDagPb(cid)) throw refused(`${cid} is not a directory`)
  const node = decodeDagPb(cid, await readBlock(blockstore, cid, signal))
  if (unixfsOf(cid, node).type !== 'directory') throw refused(`${cid} is not a plain directory`)
  return new Map(node.Links.map((link) => [link.Name ?? '', link.Hash]))
}

/** A whole small file. @throws TrustedPodsError PROVISION_IMAGE_REFUSED when it is longer than `maxBytes`. */
export async function readFile(
  blockstore: Blockstore,
  cid: CID,
  { maxBytes, signal }: ReadOptions & { maxBytes: number },
): Promise<Uint8Array> {
  const content = new Uint8Array(maxBytes)
  let length = 0
  for await (const chunk of streamFile(blockstore, cid, { maxBytes, ...(signal && { signal }) })) {
    content.set(chunk, length)
    length += chunk.length
  }
  return content.slice(0, length)
}

/** A file's bytes in order, a block at a time. @throws TrustedPodsError PROVISION_IMAGE_REFUSED past `maxBytes`, or where the tree contradicts itself. */
export async function* streamFile(
  blockstore: Blockstore,
  cid: CID,
  { maxBytes, signal }: ReadOptions & { maxBytes: number },
): AsyncGenerator<Uint8Array> {
  const budget = {
    bytes: maxBytes,
    blocks: FREE_BLOCKS + Math.ceil(maxBytes / MIN_BYTES_PER_BLOCK),
    nodeBytes: FREE_NODE_BYTES + Math.ceil(maxBytes / MIN_CONTENT_PER_NODE_BYTE),
  }
  yield* walk(cid, MAX_DEPTH)

  async function* walk(at: CID, depth: number): AsyncGenerator<Uint8Array> {
    if (depth === 0) throw refused(`file ${cid} is nested over ${MAX_DEPTH} deep`)
    if (budget.blocks-- === 0) throw refused(`file ${cid} has too many blocks for its ${maxBytes} bytes`)
    const block = await readBlock(blockstore, at, signal)
    const node = isDagPb(at) ? decodeDagPb(at, block) : undefined
    const content = node ? fileContent(at, node) : block
    budget.nodeBytes -= block.length - content.length
    if (budget.nodeBytes < 0) throw refused(`file ${cid} has too long nodes for its ${maxBytes} bytes`)
    budget.bytes -= content.length
    if (budget.bytes < 0) throw refused(`file ${cid} is longer than ${maxBytes} bytes`)
    if (content.length > 0) yield content
    for (const link of node?.Links ?? []) yield* walk(link.Hash, depth - 1)
  }
}

/** Bytes that a dag-pb node of a file holds itself; raw-leaf trees hold none. */
function fileContent(cid: CID, node: PBNode): Uint8Array {
  const { type, data, blockSizes } = unixfsOf(cid, node)
  if (type !== 'file' && type !== 'raw') throw refused(`${cid} is a ${type}, not a file`)
  if (blockSizes.length !== node.Links.length)
    throw refused(`${cid} has ${node.Links.length} links, says ${blockSizes.length}`)
  return data ?? new Uint8Array(0)
}

function unixfsOf(cid: CID, node: PBNode): UnixFS {
  try {
    return UnixFS.unmarshal(node.Data ?? new Uint8Array(0))
  } catch (cause) {
    throw refused(`block ${cid} is not UnixFS`, cause)
  }
}
