/** Spools a tar archive into a private folder and gives its files by name, links inside the archive followed. */
import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { extract, type Header } from 'tar-stream'
import { openScratch } from './images/scratch-folder.ts'

/** An archive of 127 layers has three entries for each; anything far above is no image. */
const MAX_ENTRIES = 4096
const MAX_LINK_HOPS = 8
const READ_CHUNK_BYTES = 256 * 1024

export interface SpooledFile {
  /** Bytes. */
  readonly size: number
  open(): AsyncIterable<Uint8Array>
}

export interface TarSpool {
  /** undefined where the archive has no such file, or a link that ends nowhere. */
  find(name: string): SpooledFile | undefined
  [Symbol.asyncDispose](): Promise<void>
}

type Entry = { readonly kind: 'file'; readonly file: SpooledFile } | { readonly kind: 'link'; readonly target: string }

/** Names inside the archive never become paths: files are numbered. @throws TrustedPodsError MANIFEST_IMAGE_INVALID when it is no tar. */
export async function spoolTar(
  tar: AsyncIterable<Uint8Array>,
  { tempDir, signal }: { tempDir: string; signal?: AbortSignal },
): Promise<TarSpool> {
  const scratch = await openScratch(tempDir)
  const remove = async () => scratch[Symbol.asyncDispose]()
  try {
    const entries = await spoolEntries(tar, scratch.folder, signal)
    return { find: (name) => resolve(entries, name), [Symbol.asyncDispose]: remove }
  } catch (error) {
    await remove()
    throw error
  }
}

async function spoolEntries(
  tar: AsyncIterable<Uint8Array>,
  folder: string,
  signal?: AbortSignal,
): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>()
  const extractor = extract()
  const reading = pipeline(Readable.from(tar, { highWaterMark: 1 }), extractor, signal ? { signal } : {})
  // Whichever fails first ends the other; the loop below throws the same error.
  reading.catch(() => {})
  try {
    for await (const entry of extractor) {
      if (entries.size >= MAX_ENTRIES) throw invalid(`the archive has over ${MAX_ENTRIES} entries`)
      const name = normalise(entry.header.name)
      const spooled = await spoolEntry(entry, { path: join(folder, `${entries.size}`), name })
      if (spooled) entries.set(name, spooled)
    }
    await reading
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof TrustedPodsError) throw error
    throw invalid(`the image archive cannot be read: ${error instanceof Error ? error.message : error}`, error)
  }
  return entries
}

async function spoolEntry(
  entry: AsyncIterable<unknown> & { readonly header: Header; resume(): unknown },
  { path, name }: { path: string; name: string },
): Promise<Entry | undefined> {
  const { type, linkname } = entry.header
  if (type === 'file' || type === 'contiguous-file') {
    await pipeline(bytesOf(entry), createWriteStream(path, { flags: 'wx', mode: 0o600 }))
    const { size } = await stat(path)
    return { kind: 'file', file: { size, open: () => createReadStream(path, { highWaterMark: READ_CHUNK_BYTES }) } }
  }
  entry.resume()
  if (type === 'link') return { kind: 'link', target: normalise(linkname) }
  if (type === 'symlink') return { kind: 'link', target: normalise(posix.join(posix.dirname(name), linkname)) }
  return undefined
}

async function* bytesOf(entry: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of entry) if (chunk instanceof Uint8Array) yield chunk
}

function resolve(entries: ReadonlyMap<string, Entry>, name: string): SpooledFile | undefined {
  let entry = entries.get(normalise(name))
  for (let hops = 0; entry?.kind === 'link' && hops < MAX_LINK_HOPS; hops++) entry = entries.get(entry.target)
  return entry?.kind === 'file' ? entry.file : undefined
}

function normalise(name: string): string {
  return posix.normalize(name).replace(/^(\.\/)+/, '')
}

function invalid(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_INVALID', message, cause === undefined ? {} : { cause })
}
