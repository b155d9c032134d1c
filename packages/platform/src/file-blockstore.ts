/**
 * IPFS blocks in a folder, one file each, laid out as blockstore-fs does. A block is read in one piece, and written under a name of its
 * own first: whoever finds the file finds all of it, also after a crash of this process.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, stat, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MAX_BLOCK_BYTES } from '@trusted-pods/protocol/image/block.ts'
import { FsBlockstore } from 'blockstore-fs'
import { NextToLast } from 'blockstore-fs/sharding'
import type { Blockstore } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import { hasCode } from './error-code.ts'
import { countChunk } from './free-chunks.ts'

/** Files under way end so, and blocks never do. */
export const PART_EXTENSION = '.part'

/** A block's bytes lie in itself and in what it came in, or goes out in. */
const CHUNKS_PER_BLOCK = 2

export interface FileBlockstore extends Blockstore {
  /** Length of a block that is stored, undefined where there is none: whether it is there, without reading it. */
  sizeOf(cid: CID): Promise<number | undefined>
  close(): Promise<void>
}

/** Open; the caller closes it. */
export async function openFileBlockstore(folder: string): Promise<FileBlockstore> {
  const store = new WholeFileBlockstore(folder)
  await store.open()
  return store
}

class WholeFileBlockstore extends FsBlockstore implements FileBlockstore {
  readonly #naming = new NextToLast()
  readonly #folders = new Set<string>()

  override async put(cid: CID, block: Uint8Array): Promise<CID> {
    countChunk(CHUNKS_PER_BLOCK * block.length)
    const file = this.#fileOf(cid)
    await this.#makeFolder(dirname(file))
    const temporary = `${file}.${randomUUID()}${PART_EXTENSION}`
    try {
      await writeFile(temporary, block)
      await rename(temporary, file)
    } catch (error) {
      // The reason is the failure to write; what is left of the file is nothing that anybody reads.
      await unlink(temporary).catch(() => {})
      throw error
    }
    return cid
  }

  override async *get(cid: CID): AsyncGenerator<Uint8Array> {
    const block = await readIfThere(this.#fileOf(cid))
    if (!block) throw Object.assign(new Error(`no block ${cid}`), { name: 'NotFoundError' })
    countChunk(CHUNKS_PER_BLOCK * block.length)
    yield block
  }

  override async has(cid: CID): Promise<boolean> {
    return (await this.sizeOf(cid)) !== undefined
  }

  async sizeOf(cid: CID): Promise<number | undefined> {
    return unlessMissing(async () => (await stat(this.#fileOf(cid))).size)
  }

  #fileOf(cid: CID): string {
    const { dir, file } = this.#naming.encode(cid)
    return join(this.path, dir, file)
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return
    await mkdir(folder, { recursive: true })
    this.#folders.add(folder)
  }
}

/** A file that is longer than any block counts as missing: it is damaged, and need not fit the memory. */
async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  return unlessMissing(async () => {
    await using file = await open(path)
    const { size } = await file.stat()
    if (size > MAX_BLOCK_BYTES) return undefined
    const bytes = Buffer.allocUnsafeSlow(size)
    const { bytesRead } = await file.read(bytes, 0, size, 0)
    return new Uint8Array(bytes.buffer, 0, bytesRead)
  })
}

async function unlessMissing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}
