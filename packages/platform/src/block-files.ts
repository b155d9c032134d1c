/** The files of a blockstore that no tree needs, found and removed. I/O. */
import { readdir, stat, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { decodeDagPb, findBlock, isDagPb } from '@trusted-pods/protocol/image/block.ts'
import { base32upper } from 'multiformats/bases/base32'
import type { CID } from 'multiformats/cid'
import { hasCode } from './error-code.ts'
import { type FileBlockstore, PART_EXTENSION } from './file-blockstore.ts'

export interface SweepOptions {
  /** Younger files stay: what nobody names may be under way to be named. */
  readonly olderThanMs: number
  /** Unix milliseconds. */
  readonly now: number
}

export interface Swept {
  removedBlocks: number
  removedBytes: number
}

/** Removes every file of the folder that is no block of `live`. */
export async function sweepBlockFiles(
  folder: string,
  live: ReadonlySet<string>,
  { olderThanMs, now }: SweepOptions,
): Promise<Swept> {
  const swept = { removedBlocks: 0, removedBytes: 0 }
  for (const path of await filesBelow(folder)) {
    // One that is gone by now is as good as removed.
    const { size, mtimeMs } = await stat(path).catch(() => ({ size: 0, mtimeMs: Number.POSITIVE_INFINITY }))
    const isLive = !path.endsWith(PART_EXTENSION) && live.has(keyOfFile(path) ?? '')
    if (isLive || now - mtimeMs < olderThanMs) continue
    await unlinkIfThere(path)
    swept.removedBlocks++
    swept.removedBytes += size
  }
  return swept
}

/** Adds the blocks of a tree, as far as it is held, and returns the bytes that they have on the disk, whatever its links say. */
export async function addTree(blockstore: FileBlockstore, cid: CID, live: Set<string>): Promise<number> {
  if (live.has(keyOf(cid))) return 0
  live.add(keyOf(cid))
  let bytes = (await blockstore.sizeOf(cid)) ?? 0
  for (const link of isDagPb(cid) ? await linksOf(blockstore, cid) : []) bytes += await addTree(blockstore, link, live)
  return bytes
}

/** None of what is no node of a tree: one that was refused for it may be held as far as it came. */
async function linksOf(blockstore: FileBlockstore, cid: CID): Promise<CID[]> {
  try {
    const block = await findBlock(blockstore, cid)
    return block ? decodeDagPb(cid, block).Links.map(({ Hash }) => Hash) : []
  } catch (error) {
    if (error instanceof TrustedPodsError && error.code === 'PROVISION_IMAGE_REFUSED') return []
    throw error
  }
}

/** Blocks are kept by their hash, whatever their codec. */
export function keyOf(cid: CID): string {
  return Buffer.from(cid.multihash.digest).toString('hex')
}

/** No such file is as well. */
export async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error
  })
}

/** undefined for a file that is no block's. */
function keyOfFile(path: string): string | undefined {
  try {
    return Buffer.from(base32upper.decoder.decode(basename(path, '.data')))
      .subarray(2)
      .toString('hex')
  } catch {
    return undefined
  }
}

/** Every file at any depth; none where there is no such folder. */
export async function filesBelow(folder: string): Promise<string[]> {
  // Nothing was stored yet: no folder.
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
}
