/**
 * Reads what `GET /images/{name}/get` of a Docker or Podman engine gives, in each of its three forms: only manifest.json is
 * followed. Spec: spec/IMAGES.md#sources. What is spooled is the user's own image on the user's own machine.
 */
import { createHash } from 'node:crypto'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImageSource, ImageSourceLayer } from '@trusted-pods/protocol/image/image-source.ts'
import { type Compression, layerType } from '@trusted-pods/protocol/image/media-types.ts'
import { MAX_DOCUMENT_BYTES, parseImageConfig } from '@trusted-pods/protocol/image/oci-documents.ts'
import { nodeStreamCrypto } from './stream-crypto.ts'
import { type SpooledFile, spoolTar, type TarSpool } from './tar-spool.ts'

export interface DockerArchiveOptions {
  /** What the user called the image. */
  readonly name: string
  /** Folder below which a private one (0700) is made for the layers; removed on dispose. */
  readonly tempDir: string
  readonly signal?: AbortSignal
}

/** One image's entry of manifest.json. */
interface ArchiveManifest {
  readonly config: string
  readonly layers: readonly string[]
}

/** @throws TrustedPodsError MANIFEST_IMAGE_INVALID where it is no archive of one image, or a layer is not what the config says. */
export async function openDockerArchive(
  tar: AsyncIterable<Uint8Array>,
  { name, tempDir, signal }: DockerArchiveOptions,
): Promise<ImageSource> {
  const options = signal ? { tempDir, signal } : { tempDir }
  const spool = await spoolTar(tar, options)
  try {
    const manifest = parseArchiveManifest(await readDocument(spool, 'manifest.json'))
    const config = await readDocument(spool, manifest.config)
    const layers = await openLayers(spool, manifest, { diffIds: diffIdsOf(config), ...(signal && { signal }) })
    return { name, config, layers, [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose]() }
  } catch (error) {
    await spool[Symbol.asyncDispose]()
    throw error
  }
}

async function openLayers(
  spool: TarSpool,
  { layers }: ArchiveManifest,
  { diffIds, signal }: { diffIds: readonly string[]; signal?: AbortSignal },
): Promise<ImageSourceLayer[]> {
  if (layers.length !== diffIds.length)
    throw invalid(`manifest.json names ${layers.length} layers, the config ${diffIds.length} diff_ids`)
  const opened: ImageSourceLayer[] = []
  for (const [i, path] of layers.entries()) {
    signal?.throwIfAborted()
    opened.push(await openLayer(want(spool, path), diffIds[i] ?? ''))
  }
  return opened
}

async function openLayer(file: SpooledFile, diffId: string): Promise<ImageSourceLayer> {
  const compression = await detectCompression(file)
  const found = await hashUnpacked(file, compression)
  if (found !== diffId) throw invalid(`a layer of the archive is ${found}, the config's diff_id says ${diffId}`)
  return { mediaType: layerType(compression), size: file.size, diffId, open: () => file.open() }
}

async function hashUnpacked(file: SpooledFile, compression: Compression): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of unpack(file, compression)) hash.update(chunk)
  } catch (cause) {
    throw invalid(`a layer of the archive is not ${compression}`, cause)
  }
  return `sha256:${hash.digest('hex')}`
}

function unpack(file: SpooledFile, compression: Compression): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'none':
      return file.open()
    case 'gzip':
      return nodeStreamCrypto.gunzip(file.open())
    case 'zstd':
      return nodeStreamCrypto.unzstd(file.open())
  }
}

/** By magic number, since manifest.json does not tell: RFC 1952 §2.3.1, RFC 8878 §3.1.1. */
async function detectCompression(file: SpooledFile): Promise<Compression> {
  for await (const chunk of file.open()) {
    const magic = Buffer.from(chunk.subarray(0, 4)).toString('hex')
    if (magic.startsWith('1f8b')) return 'gzip'
    return magic === '28b52ffd' ? 'zstd' : 'none'
  }
  return 'none'
}

function parseArchiveManifest(bytes: Uint8Array): ArchiveManifest {
  const images = parseJson(bytes)
  if (!Array.isArray(images) || images.length !== 1)
    throw invalid(`manifest.json has ${Array.isArray(images) ? images.length : 'no list of'} images, wanted 1`)
  const { Config: config, Layers: layers } = (images[0] ?? {}) as { Config?: unknown; Layers?: unknown }
  if (typeof config !== 'string' || !Array.isArray(layers) || !layers.every((layer) => typeof layer === 'string'))
    throw invalid('manifest.json lacks Config or Layers')
  return { config, layers }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw invalid('manifest.json is not JSON', cause)
  }
}

function diffIdsOf(config: Uint8Array): readonly string[] {
  try {
    return parseImageConfig(config).diffIds
  } catch (cause) {
    throw invalid(`the image config cannot be read: ${cause instanceof Error ? cause.message : cause}`, cause)
  }
}

async function readDocument(spool: TarSpool, path: string): Promise<Uint8Array> {
  const file = want(spool, path)
  if (file.size > MAX_DOCUMENT_BYTES) throw invalid(`${path} has ${file.size} bytes, at most ${MAX_DOCUMENT_BYTES}`)
  const parts: Uint8Array[] = []
  for await (const chunk of file.open()) parts.push(chunk)
  return Uint8Array.from(Buffer.concat(parts))
}

function want(spool: TarSpool, path: string): SpooledFile {
  const file = spool.find(path)
  if (!file) throw invalid(`the archive has no file ${path}`)
  return file
}

function invalid(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_INVALID', message, cause === undefined ? {} : { cause })
}
