/** Makes a stage the image of a layout that others see: a folder of its own, one more image in a folder, or an archive. */
import { createWriteStream } from 'node:fs'
import { chmod, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { asJsonArray, type JsonObject, parseJsonObject } from '@trusted-pods/protocol/image/json-object.ts'
import { type TarFile, writeTar } from '../tar-writer.ts'
import type { Blob, ReadOptions } from './image-reader.ts'
import { asInvalidImage } from './invalid-image.ts'
import { type LayoutStage, TAG_ANNOTATION, taggedEntry } from './layout-stage.ts'
import { encodeJson } from './manifest-types.ts'
import { mergeBlobs } from './merged-blobs.ts'
import { openScratch } from './scratch-folder.ts'

export interface WriteOptions extends ReadOptions {
  readonly root: Blob
  readonly path: string
  readonly tag?: string | undefined
  /** Whether what is there under this name is replaced. */
  readonly replace: boolean
}

/** The folder appears whole; into one that is a layout already, blobs go first and the new index last. */
export async function writeLayoutFolder(stage: LayoutStage, options: WriteOptions): Promise<void> {
  const folder = resolve(options.path)
  const there = await readdir(folder).catch(() => [])
  if (there.length > 0) return addToLayout(stage, folder, options)
  await stage.writeIndex(options.root, options.tag)
  await chmod(stage.folder, 0o777 & ~process.umask())
  await rename(stage.folder, folder)
}

async function addToLayout(stage: LayoutStage, folder: string, { root, tag, replace }: WriteOptions): Promise<void> {
  const index = await readIndex(folder)
  const kept = index.manifests.filter((entry) => !isTagged(entry, tag))
  if (kept.length < index.manifests.length && !replace) throw takenTag(folder, tag)
  await mergeBlobs(stage.folder, folder)
  const temporary = join(stage.folder, 'new-index.json')
  await writeFile(temporary, encodeJson({ ...index.json, manifests: [...kept, taggedEntry(root, tag)] }), {
    flush: true,
  })
  await rename(temporary, join(folder, 'index.json'))
}

/** @throws TrustedPodsError PLATFORM_CONFIG where the layout has an image of this tag. */
export async function refuseTakenTag({ path, tag }: { path: string; tag?: string | undefined }): Promise<void> {
  if ((await readdir(path).catch(() => [])).length === 0) return
  const { manifests } = await readIndex(path)
  if (manifests.some((entry) => isTagged(entry, tag))) throw takenTag(path, tag)
}

/** @throws TrustedPodsError PLATFORM_CONFIG where there is a file of this name. */
export async function refuseTakenFile(path: string): Promise<void> {
  if (await stat(path).catch(() => undefined)) throw taken(path)
}

async function readIndex(folder: string): Promise<{ json: JsonObject; manifests: readonly unknown[] }> {
  const text = await readFile(join(folder, 'index.json')).catch(() => undefined)
  if (!text) throw invalidImage(`${folder} is not empty, and no OCI image layout`)
  return asInvalidImage(folder, async () => {
    const json = parseJsonObject(text, 'index.json')
    return { json, manifests: asJsonArray(json.manifests, 'index.json manifests') }
  })
}

/** Without a tag, the image without one is meant. */
function isTagged(entry: unknown, tag: string | undefined): boolean {
  const { annotations } = (entry ?? {}) as { annotations?: Record<string, unknown> }
  return annotations?.[TAG_ANNOTATION] === tag
}

export async function writeLayoutArchive(stage: LayoutStage, options: WriteOptions): Promise<void> {
  await stage.writeIndex(options.root, options.tag)
  const names = ['oci-layout', 'index.json']
  for (const name of await readdir(join(stage.folder, 'blobs', 'sha256'))) names.push(`blobs/sha256/${name}`)
  const files = await Promise.all(names.map((name) => stagedFile(stage, name)))
  await writeFileWhole(writeTar(files), options)
}

async function stagedFile({ folder, openFile }: LayoutStage, name: string): Promise<TarFile> {
  const path = join(folder, name)
  return { name, size: (await stat(path)).size, content: () => openFile(path) }
}

/** Beside its place first, and there only when the last byte is on the disk. */
export async function writeFileWhole(
  content: AsyncIterable<Uint8Array>,
  { path, replace, signal }: Pick<WriteOptions, 'path' | 'replace' | 'signal'>,
): Promise<void> {
  if (!replace) await refuseTakenFile(path)
  await using scratch = await openScratch(dirname(resolve(path)))
  const temporary = join(scratch.folder, 'file')
  const file = createWriteStream(temporary, { flags: 'wx', flush: true })
  await pipeline(Readable.from(content, { objectMode: false, highWaterMark: 1 }), file, signal ? { signal } : {})
  await rename(temporary, path)
}

function takenTag(folder: string, tag: string | undefined): TrustedPodsError {
  return taken(`oci:${folder}${tag === undefined ? '' : `:${tag}`}`)
}

export function taken(name: string): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_CONFIG', `${name} is there already: --force replaces it`)
}
