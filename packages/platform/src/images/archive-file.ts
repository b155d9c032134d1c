/** A tar file, plain or compressed, spooled so that its entries can be read in any order. Spec: spec/IMAGES.md#archives. */
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { spoolTar, type TarSpool } from '../tar-spool.ts'
import { compressionOf, unpacked } from './compression.ts'

const READ_CHUNK_BYTES = 256 * 1024
/** As for a layer: what unpacks to more was made to fill a disk. Below the allowance a ratio says nothing. */
const MAX_RATIO = 100
const RATIO_FREE_BYTES = 64 * 1024 * 1024

export interface ArchiveOptions {
  /** Folder below which a private one (0700) is made; removed on dispose. */
  readonly tempDir: string
  readonly signal?: AbortSignal | undefined
}

/** @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND where there is no such file, MANIFEST_IMAGE_INVALID where it is no tar. */
export async function spoolArchive(path: string, { tempDir, signal }: ArchiveOptions): Promise<TarSpool> {
  return spoolTar(await openArchive(path), { tempDir, ...(signal && { signal }) })
}

/** The tar that a file holds, decompressed where it must be. */
export async function openArchive(path: string): Promise<AsyncIterable<Uint8Array>> {
  const { magic, size } = await look(path)
  const bytes = createReadStream(path, { highWaterMark: READ_CHUNK_BYTES })
  const compression = compressionOf(magic)
  return compression === 'none' ? bytes : bounded(unpacked(bytes, compression), path, size)
}

async function look(path: string): Promise<{ magic: Uint8Array; size: number }> {
  try {
    const found = await stat(path)
    if (!found.isFile()) throw new Error('not a file')
    await using file = await open(path)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
    return { magic: buffer.subarray(0, bytesRead), size: found.size }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `${path} cannot be read: ${reason}`, { cause })
  }
}

async function* bounded(tar: AsyncIterable<Uint8Array>, path: string, packed: number): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of tar) {
    size += chunk.length
    if (size > RATIO_FREE_BYTES && size > MAX_RATIO * packed)
      throw invalidImage(`${path} unpacks to over ${MAX_RATIO} times its ${packed} bytes`)
    yield chunk
  }
}
