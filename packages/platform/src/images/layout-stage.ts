/**
 * A private OCI image layout that grows blob by blob beside the place that it is for: nobody sees an image before it is whole.
 * Blobs are written under a made-up name and get their own when their digest is known.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { INDEX_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import { type BlobWriter, counting } from './blob-writer.ts'
import type { Blob } from './image-reader.ts'
import { encodeJson } from './manifest-types.ts'
import { openScratch } from './scratch-folder.ts'

export const TAG_ANNOTATION = 'org.opencontainers.image.ref.name'
const READ_CHUNK_BYTES = 256 * 1024

export interface LayoutStage extends BlobWriter, AsyncDisposable {
  readonly folder: string
  open(digest: string): AsyncIterable<Uint8Array>
  /** Any file of the stage. */
  openFile(path: string): AsyncIterable<Uint8Array>
  blobPath(digest: string): string
  /** Makes a layout of it whose one image has this tag. */
  writeIndex(root: Blob, tag: string | undefined): Promise<void>
}

/** @param parent folder in which a private one (0700) is made; gone on dispose, unless it was renamed. */
export async function openStage(parent: string): Promise<LayoutStage> {
  const scratch = await openScratch(parent)
  const { folder } = scratch
  const blobs = join(folder, 'blobs', 'sha256')
  await mkdir(blobs, { recursive: true })
  const blobPath = (digest: string) => join(blobs, digest.slice('sha256:'.length))
  const openFile = (path: string) => createReadStream(path, { highWaterMark: READ_CHUNK_BYTES })
  const put: LayoutStage['put'] = async (content, { signal, digest } = {}) => {
    const temporary = join(folder, randomUUID())
    const hash = digest ? undefined : createHash('sha256')
    const counted = { size: 0 }
    const file = createWriteStream(temporary, { flags: 'wx' })
    await pipeline(counting(content, counted, hash), file, signal ? { signal } : {})
    const name = digest?.() ?? `sha256:${hash?.digest('hex')}`
    await rename(temporary, blobPath(name))
    return { digest: name, size: counted.size }
  }
  return {
    folder,
    blobPath,
    put,
    putDocument: async (mediaType, bytes) => ({ mediaType, ...(await put(oneChunk(bytes))) }),
    has: async (digest) => (await stat(blobPath(digest)).catch(() => undefined)) !== undefined,
    open: (digest) => openFile(blobPath(digest)),
    openFile,
    async writeIndex(root, tag) {
      await writeFile(join(folder, 'oci-layout'), encodeJson({ imageLayoutVersion: '1.0.0' }))
      await writeFile(join(folder, 'index.json'), encodeJson(indexOf([taggedEntry(root, tag)])))
    },
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  }
}

/** A document that was put there before. */
export async function readStaged(stage: LayoutStage, { digest }: Blob): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of stage.open(digest)) parts.push(chunk)
  return Uint8Array.from(Buffer.concat(parts))
}

export function taggedEntry({ mediaType, digest, size }: Blob, tag: string | undefined): object {
  return { mediaType, digest, size, ...(tag !== undefined && { annotations: { [TAG_ANNOTATION]: tag } }) }
}

export function indexOf(manifests: readonly unknown[]): object {
  return { schemaVersion: 2, mediaType: INDEX_TYPE, manifests }
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
