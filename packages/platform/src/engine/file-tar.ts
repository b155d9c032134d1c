/** Small tar archives in memory: what goes into and comes out of a container's file system. */

import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { extract, pack } from 'tar-stream'

/** One entry; parents come before what is in them. Owner is root where no other is said. */
export type FileEntry = { readonly path: string; readonly mode?: number; readonly uid?: number } & (
  | { readonly kind: 'file'; readonly content: Uint8Array }
  | { readonly kind: 'folder' }
  | { readonly kind: 'link'; readonly target: string }
)

/** The same entries give the same bytes: times are 0. */
export async function packFiles(entries: readonly FileEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  const archive = pack()
  for (const entry of entries) {
    const header = { name: entry.path, uid: entry.uid ?? 0, gid: 0, mtime: new Date(0) }
    if (entry.kind === 'file') archive.entry({ ...header, mode: entry.mode ?? 0o644 }, Buffer.from(entry.content))
    else if (entry.kind === 'folder') archive.entry({ ...header, type: 'directory', mode: entry.mode ?? 0o755 })
    else archive.entry({ ...header, type: 'symlink', linkname: entry.target, mode: 0o777 })
  }
  archive.finalize()
  return new Uint8Array(await buffer(archive))
}

/** Content of the archive's first regular file; undefined: it has none. */
export async function firstFile(archive: Uint8Array): Promise<Uint8Array | undefined> {
  const entries = Readable.from([archive], { objectMode: false }).pipe(extract())
  for await (const entry of entries) {
    if (entry.header.type === 'file') return buffer(entry)
    entry.resume()
  }
  return undefined
}

/** Bytes in memory as a stream, for a request's body. */
export async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
