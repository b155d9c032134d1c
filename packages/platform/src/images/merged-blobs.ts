/**
 * Blobs of a stage on their way into a layout that others use too. They come before the index that names them: a program that is killed in
 * between leaves them without a name, so that it notes first which it moves, and who finds the note takes them back out. I/O.
 */
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asJsonArray, type JsonObject, parseJsonObject } from '@trusted-pods/protocol/image/json-object.ts'
import { MAX_DOCUMENT_BYTES } from '@trusted-pods/protocol/image/oci-documents.ts'
import { unlinkIfThere } from '../block-files.ts'
import { encodeJson, isIndexType, isManifestType } from './manifest-types.ts'

const NOTE = 'merging.json'

interface Note {
  /** The layout's folder. */
  readonly layout: string
  /** Names below blobs/sha256 that were not there before; the inode tells our file from another of this content. */
  readonly blobs: readonly { readonly name: string; readonly inode: string }[]
}

/** @param stage folder with blobs/sha256. */
export async function mergeBlobs(stage: string, layout: string): Promise<void> {
  const [from, to] = [blobsOf(stage), blobsOf(layout)]
  await mkdir(to, { recursive: true })
  const names = await readdir(from)
  const before = new Set(await readdir(to))
  const blobs: { name: string; inode: string }[] = []
  for (const name of names.filter((each) => !before.has(each)))
    blobs.push({ name, inode: `${(await stat(join(from, name), { bigint: true })).ino}` })
  await writeFile(join(stage, NOTE), encodeJson({ layout, blobs } satisfies Note), { flush: true })
  for (const name of names) await rename(join(from, name), join(to, name))
}

/** Removes what a dead program has moved and never named. Does nothing where the layout cannot be read in full. */
export async function undoMerge(stage: string): Promise<void> {
  try {
    const { layout, blobs } = JSON.parse(await readFile(join(stage, NOTE), 'utf8')) as Note
    const named = await namedIn(layout)
    for (const { name, inode } of blobs) {
      const path = join(blobsOf(layout), name)
      const found = await stat(path, { bigint: true }).catch(() => undefined)
      if (found && `${found.ino}` === inode && !named.has(`sha256:${name}`)) await unlinkIfThere(path)
    }
  } catch {
    // No note: nothing was moved. Or the layout is not what it was: then nothing of it is ours to remove.
  }
}

/** Every digest that the layout's index leads to. */
async function namedIn(layout: string): Promise<Set<string>> {
  const named = new Set<string>()
  const pending = [parseJsonObject(await readSmall(join(layout, 'index.json')), 'index.json')]
  for (let document = pending.pop(); document; document = pending.pop())
    for (const { digest, mediaType } of descriptorsIn(document)) {
      if (named.has(digest)) continue
      named.add(digest)
      if (isManifestType(mediaType) || isIndexType(mediaType))
        pending.push(parseJsonObject(await readSmall(join(layout, 'blobs', ...digest.split(':'))), 'manifest'))
    }
  return named
}

function descriptorsIn({ manifests = [], layers = [], config }: JsonObject): { digest: string; mediaType: string }[] {
  const all = [...asJsonArray(manifests, 'manifests'), ...asJsonArray(layers, 'layers'), ...(config ? [config] : [])]
  return all.map((each) => {
    const { digest, mediaType } = each as JsonObject
    if (typeof digest !== 'string' || !/^\w+:[0-9a-f]+$/.test(digest)) throw new Error('a descriptor without digest')
    return { digest, mediaType: String(mediaType) }
  })
}

async function readSmall(path: string): Promise<Uint8Array> {
  if ((await stat(path)).size > MAX_DOCUMENT_BYTES) throw new Error(`${path} is no document`)
  return readFile(path)
}

function blobsOf(folder: string): string {
  return join(folder, 'blobs', 'sha256')
}
