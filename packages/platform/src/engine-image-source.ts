/**
 * Reads what `GET /images/{name}/get` of a Docker or Podman engine gives, in each of its three forms: only manifest.json is
 * followed. Spec: spec/IMAGES.md#sources. What is spooled is the user's own image on the user's own machine.
 */
import { createHash } from 'node:crypto'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { fullImageName } from '@trusted-pods/protocol/image/image-reference.ts'
import type { ImageSource, ImageSourceLayer } from '@trusted-pods/protocol/image/image-source.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import { type Compression, layerType } from '@trusted-pods/protocol/image/media-types.ts'
import { MAX_DOCUMENT_BYTES, parseImageConfig } from '@trusted-pods/protocol/image/oci-documents.ts'
import { compressionOf, unpacked } from './images/compression.ts'
import { type SpooledFile, spoolTar, type TarSpool } from './tar-spool.ts'

export interface DockerArchiveOptions {
  /** What the user called the image. */
  readonly name: string
  /** Name in the archive of the one image that is wanted; absent: the archive holds one. */
  readonly image?: string | undefined
  /** Folder below which a private one (0700) is made for the layers; removed on dispose. */
  readonly tempDir: string
  readonly signal?: AbortSignal
}

/** Characters of the names that a refusal lists. */
const MAX_NAMES = 400

/** One image's entry of manifest.json. */
interface ArchiveManifest {
  readonly config: string
  readonly layers: readonly string[]
}

/** @throws TrustedPodsError MANIFEST_IMAGE_INVALID where it is no archive of one image, or a layer is not what the config says. */
export async function openDockerArchive(
  tar: AsyncIterable<Uint8Array>,
  { name, image, tempDir, signal }: DockerArchiveOptions,
): Promise<ImageSource> {
  const spool = await spoolTar(tar, signal ? { tempDir, signal } : { tempDir })
  return openSpooledArchive(spool, { name, image, signal })
}

/** The same of an archive that is spooled already; takes the spool over. */
export async function openSpooledArchive(
  spool: TarSpool,
  { name, image, signal }: Omit<DockerArchiveOptions, 'tempDir' | 'signal'> & { signal?: AbortSignal | undefined },
): Promise<ImageSource> {
  try {
    const manifest = parseArchiveManifest(await readDocument(spool, 'manifest.json'), image)
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
    throw invalidImage(`manifest.json names ${layers.length} layers, the config ${diffIds.length} diff_ids`)
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
  if (found !== diffId) throw invalidImage(`a layer of the archive is ${found}, the config's diff_id says ${diffId}`)
  return { mediaType: layerType(compression), size: file.size, diffId, open: () => file.open() }
}

async function hashUnpacked(file: SpooledFile, compression: Compression): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of unpacked(file.open(), compression)) hash.update(chunk)
  } catch (cause) {
    throw invalidImage(`a layer of the archive is not ${compression}`, cause)
  }
  return `sha256:${hash.digest('hex')}`
}

/** By magic number, since manifest.json does not tell. */
async function detectCompression(file: SpooledFile): Promise<Compression> {
  for await (const chunk of file.open()) return compressionOf(chunk)
  return 'none'
}

function parseArchiveManifest(bytes: Uint8Array, wanted?: string): ArchiveManifest {
  const images = parseJson(bytes)
  if (!Array.isArray(images)) throw invalidImage('manifest.json has no list of images, wanted 1')
  const chosen = wanted === undefined ? images : images.filter((image) => tagsOf(image).some(isName(wanted)))
  if (wanted !== undefined && chosen.length === 0) throw notThere(wanted, images)
  if (chosen.length !== 1) throw invalidImage(`manifest.json has ${chosen.length} images, wanted 1${namesOf(images)}`)
  const { Config: config, Layers: layers } = (chosen[0] ?? {}) as { Config?: unknown; Layers?: unknown }
  if (typeof config !== 'string' || !Array.isArray(layers) || !layers.every((layer) => typeof layer === 'string'))
    throw invalidImage('manifest.json lacks Config or Layers')
  return { config, layers }
}

/** `nginx`, `docker.io/library/nginx:latest`: writers of archives differ in how much of a name they write. */
function isName(wanted: string): (tag: string) => boolean {
  return (tag) => fullImageName(tag) === fullImageName(wanted)
}

function tagsOf(image: unknown): string[] {
  const { RepoTags: tags } = (image ?? {}) as { RepoTags?: unknown }
  return Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : []
}

function namesOf(images: readonly unknown[]): string {
  const names = images.flatMap(tagsOf).join(', ').slice(0, MAX_NAMES)
  return names === '' ? '' : `; it has ${names}`
}

function notThere(wanted: string, images: readonly unknown[]): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `the archive has no image ${wanted}${namesOf(images)}`)
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw invalidImage('manifest.json is not JSON', cause)
  }
}

function diffIdsOf(config: Uint8Array): readonly string[] {
  try {
    return parseImageConfig(config).diffIds
  } catch (cause) {
    throw invalidImage(`the image config cannot be read: ${cause instanceof Error ? cause.message : cause}`, cause)
  }
}

async function readDocument(spool: TarSpool, path: string): Promise<Uint8Array> {
  const file = want(spool, path)
  if (file.size > MAX_DOCUMENT_BYTES)
    throw invalidImage(`${path} has ${file.size} bytes, at most ${MAX_DOCUMENT_BYTES}`)
  const parts: Uint8Array[] = []
  for await (const chunk of file.open()) parts.push(chunk)
  return Uint8Array.from(Buffer.concat(parts))
}

function want(spool: TarSpool, path: string): SpooledFile {
  const file = spool.find(path)
  if (!file) throw invalidImage(`the archive has no file ${path}`)
  return file
}
