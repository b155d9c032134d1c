/** Reads one image of an OCI image layout, in a folder or in an archive. Spec: spec/IMAGES.md#places. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { asJsonArray, parseJsonObject } from '@trusted-pods/protocol/image/json-object.ts'
import { type Descriptor, MAX_DOCUMENT_BYTES, parseDescriptor } from '@trusted-pods/protocol/image/oci-documents.ts'
import type { SpooledFile, TarSpool } from '../tar-spool.ts'
import type { ImageReader } from './image-reader.ts'
import { asInvalidImage } from './invalid-image.ts'

const READ_CHUNK_BYTES = 256 * 1024
/** A layout that many images share. */
const MAX_IMAGES = 4096

/** The files of a layout, wherever they lie. */
export interface LayoutFiles extends AsyncDisposable {
  find(name: string): Promise<SpooledFile | undefined>
}

export function folderFiles(folder: string): LayoutFiles {
  return {
    async find(name) {
      const path = join(folder, name)
      const found = await stat(path).catch(() => undefined)
      if (!found?.isFile()) return undefined
      return { size: found.size, open: () => createReadStream(path, { highWaterMark: READ_CHUNK_BYTES }) }
    },
    async [Symbol.asyncDispose]() {},
  }
}

export function spooledFiles(spool: TarSpool): LayoutFiles {
  return { find: async (name) => spool.find(name), [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose]() }
}

/**
 * Takes the files over: disposing the reader disposes them.
 * @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND where there is no layout or no such tag, MANIFEST_IMAGE_INVALID where it is
 * damaged, or several images are there and none is named.
 */
export async function openLayout(
  files: LayoutFiles,
  { name, tag }: { name: string; tag?: string | undefined },
): Promise<ImageReader> {
  try {
    return { ...readerOf(files, name), root: await findRoot(files, { name, tag }) }
  } catch (error) {
    await files[Symbol.asyncDispose]()
    throw error
  }
}

async function findRoot(
  files: LayoutFiles,
  { name, tag }: { name: string; tag?: string | undefined },
): Promise<Descriptor> {
  const index = await files.find('index.json')
  if (!index || !(await files.find('oci-layout'))) throw notFound(`${name} is no OCI image layout`)
  const bytes = await readWhole(index, name)
  return asInvalidImage(name, async () => chooseTag(bytes, { name, tag }))
}

function readerOf(files: LayoutFiles, name: string): Omit<ImageReader, 'root'> {
  return {
    name,
    async *open(blob) {
      const file = await files.find(`blobs/${blob.digest.replace(':', '/')}`)
      if (!file) throw invalidImage(`${name} lacks the blob ${blob.digest}`)
      yield* file.open()
    },
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
  }
}

const TAG = 'org.opencontainers.image.ref.name'

function chooseTag(bytes: Uint8Array, { name, tag }: { name: string; tag?: string | undefined }): Descriptor {
  const entries = asJsonArray(parseJsonObject(bytes, 'index.json').manifests, 'index.json manifests')
  if (entries.length > MAX_IMAGES) throw invalidImage(`${name} has ${entries.length} images, at most ${MAX_IMAGES}`)
  const images = entries.map((entry, i) => parseDescriptor(entry, `index.json manifests[${i}]`))
  const chosen = tag === undefined ? images : images.filter(({ annotations }) => annotations[TAG] === tag)
  const [image] = chosen
  if (image && chosen.length === 1) return image
  const tags =
    images
      .flatMap(({ annotations }) => annotations[TAG] ?? [])
      .join(', ')
      .slice(0, 400) || 'no tags'
  if (tag !== undefined && !image) throw notFound(`${name} has no image with this tag; it has ${tags}`)
  throw invalidImage(`${name} has ${chosen.length} images, name one of them by its tag: ${tags}`)
}

async function readWhole(file: SpooledFile, name: string): Promise<Uint8Array> {
  if (file.size > MAX_DOCUMENT_BYTES)
    throw invalidImage(`${name}: index.json has ${file.size} bytes, at most ${MAX_DOCUMENT_BYTES}`)
  const parts: Uint8Array[] = []
  for await (const chunk of file.open()) parts.push(chunk)
  return Buffer.concat(parts)
}

function notFound(message: string): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', message)
}
