/** Where the blobs of an image that is being made go: files of a stage, or straight into a blockstore. */
import type { Hash } from 'node:crypto'
import type { Blob, ReadOptions } from './image-reader.ts'

export interface PutOptions extends ReadOptions {
  /** Asked when all has been written, by who has hashed it on its way; absent: it is hashed here. */
  readonly digest?: (() => string) | undefined
}

export interface BlobWriter {
  /** Writes what comes, whatever it is. */
  put(content: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<{ digest: string; size: number }>
  putDocument(mediaType: string, bytes: Uint8Array): Promise<Blob>
  has(digest: string): Promise<boolean>
}

/** What passes, its length and digest noted. */
export async function* counting(
  content: AsyncIterable<Uint8Array>,
  counted: { size: number },
  hash: Hash | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of content) {
    hash?.update(chunk)
    counted.size += chunk.length
    yield chunk
  }
}
