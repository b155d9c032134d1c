/** One IPFS block: which CIDs we take, how a block is read from a store, and that its bytes are what its CID says. Spec: spec/IMAGES.md#blocks. */
import * as dagPb from '@ipld/dag-pb'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 as sha256Hasher } from 'multiformats/hashes/sha2'
import { concatBytes, equalBytes, sha256 } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import { refused } from './refused.ts'

/** Bitswap's own bound. */
export const MAX_BLOCK_BYTES = 2 * 1024 * 1024

/** Binary CIDv1 from outside. @throws TrustedPodsError PROVISION_IMAGE_REFUSED for another version, codec or hash. */
export function parseTreeCid(bytes: Uint8Array): CID {
  let cid: CID
  try {
    cid = CID.decode(bytes)
  } catch (cause) {
    throw refused(`the image's CID of ${bytes.length} bytes is not a binary CID`, cause)
  }
  if (cid.version !== 1) throw refused(`the image's CID has version ${cid.version}, wanted 1`)
  return checkCid(cid)
}

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED unless it is dag-pb or raw under sha2-256. */
export function checkCid(cid: CID): CID {
  if (!isTreeCodec(cid.code)) throw refused(`block ${cid}: codec 0x${cid.code.toString(16)}, wanted dag-pb or raw`)
  if (cid.multihash.code !== sha256Hasher.code || cid.multihash.digest.length !== 32)
    throw refused(`block ${cid}: hash 0x${cid.multihash.code.toString(16)}, wanted sha2-256`)
  return cid
}

export function isDagPb(cid: CID): boolean {
  return cid.code === dagPb.code
}

/** Whether the bytes are those that the CID names. */
export async function isBlockOf(cid: CID, bytes: Uint8Array): Promise<boolean> {
  return equalBytes(await sha256(bytes), cid.multihash.digest)
}

/** A block from the store, hashed. @throws TrustedPodsError PROVISION_IMAGE_FETCH where it is missing or damaged. */
export async function readBlock(blockstore: Blockstore, cid: CID, signal?: AbortSignal): Promise<Uint8Array> {
  const bytes = await findBlock(blockstore, cid, signal)
  if (!bytes) throw new TrustedPodsError('PROVISION_IMAGE_FETCH', `block ${cid} is missing or damaged in the store`)
  return bytes
}

/** The same, or undefined where the store has no such block, or not its true bytes. */
export async function findBlock(
  blockstore: Blockstore,
  cid: CID,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  signal?.throwIfAborted()
  const bytes = await loadBlock(blockstore, cid)
  signal?.throwIfAborted()
  return bytes && (await isBlockOf(cid, bytes)) ? bytes : undefined
}

/** CIDs that a verified dag-pb block links to, each checked. @throws TrustedPodsError PROVISION_IMAGE_REFUSED. */
export function decodeDagPb(cid: CID, bytes: Uint8Array): dagPb.PBNode {
  try {
    const node = dagPb.decode(bytes)
    for (const link of node.Links) checkCid(link.Hash)
    return node
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    throw refused(`block ${cid} is not dag-pb`, cause)
  }
}

function isTreeCodec(code: number): boolean {
  return code === dagPb.code || code === raw.code
}

/** What the store has under this CID, not hashed: for somebody who does that. */
export async function loadBlock(blockstore: Blockstore, cid: CID): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = []
  let length = 0
  try {
    for await (const part of blockstore.get(checkCid(cid))) {
      length += part.length
      if (length > MAX_BLOCK_BYTES) return undefined
      parts.push(part)
    }
  } catch (error) {
    if (error instanceof Error && error.name === 'NotFoundError') return undefined
    throw error
  }
  return parts.length === 1 ? parts[0] : concatBytes(...parts)
}
