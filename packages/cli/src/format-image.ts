/** What an image is, for people and as JSON: platforms, layers, and for how many keys each is encrypted. Pure. */
import type { Blob } from '@trusted-pods/platform/images/image-reader.ts'
import type { ImageIndex } from '@trusted-pods/platform/images/image-root.ts'
import { encryptedLayerCompression } from '@trusted-pods/protocol/image/media-types.ts'
import type { Descriptor, ImageManifest } from '@trusted-pods/protocol/image/oci-documents.ts'
import { JWE_ANNOTATION } from '@trusted-pods/protocol/image/ocicrypt/layer-annotations.ts'
import { formatTable } from './table.ts'
import { countOf, formatBytes } from './units.ts'

export interface PlatformView {
  readonly platform: string
  readonly digest: string
  readonly mediaType: string
}

export interface LayerView {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly encrypted: boolean
  /** Keys that open it by JWE; PGP and PKCS#7 are not counted. */
  readonly recipients: number
}

export interface ImageView {
  readonly name: string
  readonly platform: string
  readonly encrypted: 'all' | 'some' | 'none'
  readonly bytes: number
  readonly layers: readonly LayerView[]
  /** The config is readable by everybody, of an encrypted image too. */
  readonly config: unknown
}

export function platformViews({ entries }: ImageIndex): PlatformView[] {
  return entries.map(({ descriptor: { digest, mediaType }, platform, isAttestation }) => ({
    platform: isAttestation ? 'attestation' : (platform ?? 'unknown'),
    digest,
    mediaType,
  }))
}

export function formatPlatforms(
  { name, root }: { name: string; root: Blob },
  platforms: readonly PlatformView[],
): string {
  const rows = platforms.map(({ platform, digest }) => [platform, digest])
  return `${name}\n${root.digest}, ${countOf(platforms.length, 'entry')}\n\n${formatTable(['PLATFORM', 'DIGEST'], rows)}`
}

export function imageView({ name }: { name: string }, { layers }: ImageManifest, configBytes: Uint8Array): ImageView {
  const config = JSON.parse(new TextDecoder().decode(configBytes))
  const views = layers.map(layerView)
  const encrypted = views.filter((layer) => layer.encrypted).length
  return {
    name,
    platform: `${config?.os ?? 'unknown'}/${config?.architecture ?? 'unknown'}`,
    encrypted: encrypted === 0 ? 'none' : encrypted === views.length ? 'all' : 'some',
    bytes: views.reduce((total, { size }) => total + size, 0),
    layers: views,
    config,
  }
}

function layerView({ mediaType, digest, size, annotations }: Descriptor): LayerView {
  const encrypted = encryptedLayerCompression(mediaType) !== undefined
  return { mediaType, digest, size, encrypted, recipients: encrypted ? recipientsOf(annotations[JWE_ANNOTATION]) : 0 }
}

/** A packet is one flattened JWE, or a general one with a list. */
function recipientsOf(annotation: string | undefined): number {
  const packets = annotation?.split(',') ?? []
  return packets.reduce((total, packet) => total + (jweOf(packet).recipients?.length ?? 1), 0)
}

function jweOf(packet: string): { recipients?: unknown[] } {
  try {
    const { recipients } = JSON.parse(Buffer.from(packet, 'base64').toString('utf8')) ?? {}
    return Array.isArray(recipients) ? { recipients } : {}
  } catch {
    // Shown as one key that nobody has: decrypt says what is wrong with it.
    return {}
  }
}

const SAID = { all: 'every layer encrypted', some: 'ONLY SOME LAYERS ENCRYPTED', none: 'NOT ENCRYPTED' } as const

export function formatImage({ name, platform, encrypted, bytes, layers }: ImageView): string {
  const rows = layers.map((layer, i) => [
    `${i}`,
    layer.mediaType.replace(/^application\/vnd\.(oci|docker)\.image\.(layer\.v1|rootfs\.diff)\./, ''),
    formatBytes(layer.size),
    layer.encrypted ? `for ${countOf(layer.recipients, 'key')}` : 'no',
    layer.digest,
  ])
  const head = `${platform}, ${countOf(layers.length, 'layer')}, ${formatBytes(bytes)}, ${SAID[encrypted]}`
  return `${name}\n${head}\n\n${formatTable(['LAYER', 'TYPE', 'SIZE', 'ENCRYPTED', 'DIGEST'], rows)}`
}
