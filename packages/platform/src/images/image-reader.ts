/**
 * An image at any place as content that is named by digest: the root document and blobs below it. Whatever a place gives is
 * hashed here, in one spot, before anybody believes it. Spec: spec/IMAGES.md#places.
 */
import { createHash } from 'node:crypto'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { MAX_DOCUMENT_BYTES } from '@trusted-pods/protocol/image/oci-documents.ts'

export interface Blob {
  readonly mediaType: string
  /** sha256:<hex>. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
}

export interface ImageReader extends AsyncDisposable {
  /** What the user called it. */
  readonly name: string
  /** What the name stands for: an image manifest, or an index of several. */
  readonly root: Blob
  /** A blob's bytes as the place gives them, not yet believed; can be called again. */
  open(blob: Blob, options?: ReadOptions): AsyncIterable<Uint8Array>
}

/** A blob as a stream that ends in an error unless it has the size and digest that its descriptor says; never longer than that. */
export async function* openBlob(
  reader: ImageReader,
  blob: Blob,
  options: ReadOptions = {},
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  for await (const chunk of openSizedBlob(reader, blob, options)) {
    hash.update(chunk)
    yield chunk
  }
  checkBlobDigest(reader.name, blob, `sha256:${hash.digest('hex')}`)
}

/** The same without the digest, for those who hash it themselves: they owe `checkBlobDigest`. */
export async function* openSizedBlob(
  reader: ImageReader,
  blob: Blob,
  { signal }: ReadOptions = {},
): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of reader.open(blob, { signal })) {
    signal?.throwIfAborted()
    size += chunk.length
    if (size > blob.size)
      throw invalidImage(`${reader.name}: blob ${blob.digest} is longer than its ${blob.size} bytes`)
    yield chunk
  }
  if (size !== blob.size)
    throw invalidImage(`${reader.name}: blob ${blob.digest} has ${size} of its ${blob.size} bytes`)
}

export function checkBlobDigest(name: string, { digest }: Blob, found: string): void {
  if (found !== digest) throw invalidImage(`${name}: blob ${digest} is ${found}`)
}

/** A whole manifest, index or config, checked as above. */
export async function readDocument(
  reader: ImageReader,
  blob: Blob,
  options: ReadOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  if (blob.size > MAX_DOCUMENT_BYTES)
    throw invalidImage(`${reader.name}: document ${blob.digest} of ${blob.size} bytes, at most ${MAX_DOCUMENT_BYTES}`)
  const parts: Uint8Array[] = []
  for await (const chunk of openBlob(reader, blob, options)) parts.push(chunk)
  return Uint8Array.from(Buffer.concat(parts))
}
