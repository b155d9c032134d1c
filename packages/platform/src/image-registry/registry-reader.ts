/** Reads an image of a registry; a download that breaks off goes on where it stood. Spec: spec/IMAGES.md#registry. */
import { createHash } from 'node:crypto'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { MAX_DOCUMENT_BYTES } from '@trusted-pods/protocol/image/oci-documents.ts'
import type { Blob, ImageReader, ReadOptions } from '../images/image-reader.ts'
import { isIndexType, isManifestType, ROOT_TYPES } from '../images/manifest-types.ts'
import { connectRegistry, type RegistryConnection, type RegistryOptions, unexpected } from './registry-connection.ts'
import { type HttpAnswer, registryFailed } from './registry-http.ts'
import { type RegistryName, registryName } from './registry-name.ts'

/** Breaks in one blob with less than 1 MiB between them, after which the registry is taken for gone. */
const MAX_BREAKS = 5
const PROGRESS_BYTES = 1024 * 1024

/** @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND, PLATFORM_IMAGE_LOGIN, PLATFORM_IMAGE_REGISTRY. */
export async function openRegistryImage(text: string, options: RegistryOptions): Promise<ImageReader> {
  const name = registryName(text)
  const connection = await connectRegistry(name, 'pull', options)
  const { root, bytes } = await fetchRoot(connection, name, options)
  return {
    name: `docker://${text}`,
    root,
    open: (blob, reading) =>
      blob.digest === root.digest
        ? oneChunk(bytes)
        : download(connection, blob, { signal: reading?.signal ?? options.signal }),
    async [Symbol.asyncDispose]() {},
  }
}

async function fetchRoot(
  connection: RegistryConnection,
  { host, repository, reference, digest }: RegistryName,
  { signal }: ReadOptions,
): Promise<{ root: Blob; bytes: Uint8Array }> {
  const answer = await connection(`manifests/${reference}`, { headers: { accept: ROOT_TYPES.join(', ') }, signal })
  const what = `${host}/${repository}:${reference}`
  if (answer.status === 404) {
    await answer.cancel()
    throw new TrustedPodsError(
      'MANIFEST_IMAGE_NOT_FOUND',
      `the registry ${host} has no image ${repository}:${reference}`,
    )
  }
  if (answer.status !== 200) throw await unexpected(what, answer)
  const bytes = await readAll(answer)
  const root = { mediaType: rootType(answer, bytes, what), digest: digestOf(bytes), size: bytes.length }
  if (digest !== undefined && root.digest !== digest) throw invalidImage(`${what} is ${root.digest}`)
  return { root, bytes }
}

async function readAll(answer: HttpAnswer): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of answer.body(MAX_DOCUMENT_BYTES)) parts.push(chunk)
  return Buffer.concat(parts)
}

/** The header decides; where the document says so too they must agree, or one and the same bytes could be read in two ways. */
function rootType({ headers }: HttpAnswer, bytes: Uint8Array, what: string): string {
  const said = (headers.get('content-type') ?? '').split(';')[0]?.trim() ?? ''
  const inside = mediaTypeIn(bytes)
  if (!isManifestType(said) && !isIndexType(said))
    throw invalidImage(`${what} is of type ${said.slice(0, 128) || 'none'}, wanted an image manifest or an index`)
  if (inside !== undefined && inside !== said)
    throw invalidImage(`${what} is sent as ${said}, and says of itself ${inside.slice(0, 128)}`)
  return said
}

function mediaTypeIn(bytes: Uint8Array): string | undefined {
  try {
    const { mediaType } = JSON.parse(Buffer.from(bytes).toString('utf8')) ?? {}
    return typeof mediaType === 'string' ? mediaType : undefined
  } catch {
    // What is no JSON is refused by the parser of the document.
    return undefined
  }
}

/** Whoever reads it hashes it. @throws TrustedPodsError PLATFORM_IMAGE_REGISTRY when it breaks off again and again. */
async function* download(
  connection: RegistryConnection,
  blob: Blob,
  { signal }: ReadOptions,
): AsyncGenerator<Uint8Array> {
  let received = 0
  for (let breaks = 0; ; ) {
    const before = received
    try {
      for await (const chunk of await openFrom(connection, blob, { from: received, signal })) {
        received += chunk.length
        yield chunk
      }
      if (received >= blob.size) return
      throw registryFailed(`blob ${blob.digest} broke off after ${received} of ${blob.size} bytes`)
    } catch (error) {
      signal?.throwIfAborted()
      breaks = received - before >= PROGRESS_BYTES ? 1 : breaks + 1
      if (!isBreak(error) || breaks >= MAX_BREAKS) throw error
    }
  }
}

function isBreak(error: unknown): boolean {
  return error instanceof TrustedPodsError && error.code === 'PLATFORM_IMAGE_REGISTRY'
}

/** What is left of a blob. A server without ranges begins anew: the part that we hold is skipped, the digest covers both. */
async function openFrom(
  connection: RegistryConnection,
  blob: Blob,
  { from, signal }: ReadOptions & { from: number },
): Promise<AsyncIterable<Uint8Array>> {
  const isDocument = isManifestType(blob.mediaType) || isIndexType(blob.mediaType)
  const headers = { ...(isDocument && { accept: blob.mediaType }), ...(from > 0 && { range: `bytes=${from}-` }) }
  const answer = await connection(`${isDocument ? 'manifests' : 'blobs'}/${blob.digest}`, { headers, signal })
  // One byte more than there should be is enough to see that there are more.
  if (answer.status === 206 && from > 0) return answer.body(blob.size - from + 1)
  if (answer.status === 200) return skip(answer.body(blob.size + 1), from)
  if (answer.status !== 404) throw await unexpected(`blob ${blob.digest}`, answer)
  await answer.cancel()
  throw invalidImage(`the registry ${answer.url.host} lacks the blob ${blob.digest} that its image names`)
}

async function* skip(content: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let left = length
  for await (const chunk of content) {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    if (skipped < chunk.length) yield chunk.subarray(skipped)
  }
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
