/**
 * From what a name stands for to one image: an index is read, a platform chosen, the image manifest and config parsed
 * strictly. Attestation manifests are no platforms. Spec: spec/IMAGES.md#platforms.
 */

import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import {
  asJsonArray,
  asJsonObject,
  type JsonObject,
  parseJsonObject,
} from '@trusted-pods/protocol/image/json-object.ts'
import {
  type Descriptor,
  type ImageManifest,
  parseDescriptor,
  parseImageManifest,
} from '@trusted-pods/protocol/image/oci-documents.ts'
import { type ImageReader, type ReadOptions, readDocument } from './image-reader.ts'
import { asInvalidImage } from './invalid-image.ts'
import { isIndexType, isManifestType, toOciManifest } from './manifest-types.ts'

/** Platforms, attestations of each, and room: nobody publishes more. */
const MAX_ENTRIES = 256

/** BuildKit marks provenance and SBOMs so: in-toto layers beside the image that they speak of. */
const REFERENCE_TYPE = 'vnd.docker.reference.type'
export const REFERENCE_DIGEST = 'vnd.docker.reference.digest'

/** `os/architecture[/variant]`. */
export type Platform = string

export interface IndexEntry {
  readonly descriptor: Descriptor
  readonly platform?: Platform
  readonly isAttestation: boolean
  /** The whole entry, with what we do not read. */
  readonly json: JsonObject
}

export interface ImageIndex {
  readonly entries: readonly IndexEntry[]
  readonly json: JsonObject
}

/** One platform's image. */
export interface ImageDocument {
  /** As OCI has it, byte for byte the source's where that is OCI already. */
  readonly bytes: Uint8Array
  readonly json: JsonObject
  readonly manifest: ImageManifest
}

export type ImageRoot =
  | { readonly kind: 'image'; readonly image: ImageDocument }
  | { readonly kind: 'index'; readonly index: ImageIndex }

/** @throws TrustedPodsError MANIFEST_IMAGE_INVALID where it is neither, or not as it must be. */
export async function readRoot(reader: ImageReader, options: ReadOptions = {}): Promise<ImageRoot> {
  const { root, name } = reader
  if (isManifestType(root.mediaType)) return { kind: 'image', image: await readImage(reader, root, options) }
  if (!isIndexType(root.mediaType))
    throw invalidImage(`${name} is of type ${root.mediaType.slice(0, 128)}, wanted an image manifest or an index`)
  const bytes = await readDocument(reader, root, options)
  return { kind: 'index', index: await asInvalidImage(name, async () => parseIndexEntries(bytes)) }
}

export async function readImage(
  reader: ImageReader,
  descriptor: { mediaType: string; digest: string; size: number },
  options: ReadOptions = {},
): Promise<ImageDocument> {
  const document = await readDocument(reader, descriptor, options)
  return asInvalidImage(reader.name, async () => {
    const bytes = toOciManifest(document)
    return { bytes, json: parseJsonObject(bytes, 'image manifest'), manifest: parseImageManifest(bytes) }
  })
}

/** Where SEV-SNP and TDX are: what an index of several is asked for unless somebody says otherwise. */
const DEFAULT_PLATFORM: Platform = 'linux/amd64'

export interface PlatformOptions extends ReadOptions {
  /** Nothing else will do; absent: linux/amd64 of several, or the one that there is. */
  readonly platform?: Platform | undefined
}

/** The one image that is wanted. @throws TrustedPodsError MANIFEST_IMAGE_INVALID where there is none for the platform. */
export async function chooseImage(
  reader: ImageReader,
  { platform, signal }: PlatformOptions = {},
): Promise<ImageDocument> {
  const root = await readRoot(reader, { signal })
  if (root.kind === 'index')
    return readImage(reader, chooseEntry(root.index, reader.name, platform).descriptor, { signal })
  if (platform !== undefined) await checkPlatform(reader, root.image, { platform, signal })
  return root.image
}

function chooseEntry({ entries }: ImageIndex, name: string, platform?: Platform): IndexEntry {
  const images = entries.filter(({ isAttestation }) => !isAttestation)
  const wanted = platform ?? DEFAULT_PLATFORM
  const fits = images.filter((entry) => entry.platform !== undefined && isPlatform(entry.platform, wanted))
  const [chosen] = fits.length === 0 && platform === undefined && images.length === 1 ? images : fits
  if (chosen) return chosen
  throw invalidImage(`${name} has no image for ${wanted}, it has ${platformsOf(images)}: --platform chooses another`)
}

function platformsOf(images: readonly IndexEntry[]): string {
  return (
    images
      .map(({ platform = 'one of no platform' }) => platform.slice(0, 64))
      .join(', ')
      .slice(0, 400) || 'none'
  )
}

async function checkPlatform(
  reader: ImageReader,
  { manifest }: ImageDocument,
  { platform, signal }: ReadOptions & { platform: Platform },
): Promise<void> {
  const config = await readDocument(reader, manifest.config, { signal })
  const seen = await asInvalidImage(reader.name, async () =>
    platformOf({ platform: parseJsonObject(config, 'image config') }),
  )
  if (seen === undefined || !isPlatform(seen, platform))
    throw invalidImage(`${reader.name} is for ${seen?.slice(0, 64) ?? 'no platform'}, wanted ${platform}`)
}

/** arm64 is arm64/v8: the variant counts only where it is asked for. */
function isPlatform(seen: Platform, wanted: Platform): boolean {
  return seen === wanted || seen.startsWith(`${wanted}/`)
}

function parseIndexEntries(bytes: Uint8Array): ImageIndex {
  const json = parseJsonObject(bytes, 'index')
  const manifests = asJsonArray(json.manifests, 'index.manifests')
  if (json.schemaVersion !== 2) throw invalidImage('the index has another schemaVersion than 2')
  if (manifests.length === 0 || manifests.length > MAX_ENTRIES)
    throw invalidImage(`the index has ${manifests.length} manifests, wanted 1 to ${MAX_ENTRIES}`)
  return { json, entries: manifests.map((entry, i) => parseEntry(entry, `index.manifests[${i}]`)) }
}

function parseEntry(value: unknown, name: string): IndexEntry {
  const descriptor = parseDescriptor(value, name)
  if (!isManifestType(descriptor.mediaType))
    throw invalidImage(`${name} is of type ${descriptor.mediaType.slice(0, 128)}, wanted an image manifest`)
  const json = asJsonObject(value, name)
  const platform = platformOf(json)
  const isAttestation = descriptor.annotations[REFERENCE_TYPE] === 'attestation-manifest'
  return { descriptor, json, isAttestation, ...(platform !== undefined && { platform }) }
}

function platformOf({ platform }: JsonObject): Platform | undefined {
  if (typeof platform !== 'object' || platform === null) return undefined
  const { os, architecture, variant } = platform as JsonObject
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined
  return typeof variant === 'string' && variant !== '' ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`
}
