/** Verified images into the engine, under names of ours that say the content, and out again. I/O. Spec: spec/IMAGES.md#load. */
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import {
  type ImageInspection,
  inspectImage,
  listImageTags,
  loadImage,
  removeImage,
} from '@trusted-pods/platform/engine/images.ts'
import { at, textsAt } from '@trusted-pods/platform/engine/json-view.ts'
import { hybridArchive } from '@trusted-pods/platform/hybrid-archive.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { infraImage } from './infra-image.ts'
import type { ImageRef } from './pod-runtime.ts'
import { differences } from './verify-created.ts'

/** What a container takes from its image. */
const CONFIG_FIELDS = ['User', 'Env', 'Entrypoint', 'Cmd', 'WorkingDir', 'Volumes', 'StopSignal'] as const

/** 64 KiB of labels: engines repeat them in every list and event, which are bounded for all pods together. */
const MAX_LABEL_BYTES = 64 * 1024

export interface ImportOptions {
  readonly repository: string
  readonly signal?: AbortSignal | undefined
}

/** Repository of a provider's images: no registry can have it (RFC 6761, .invalid). */
export function imageRepository(owner: string): string {
  return `tpod.invalid/${owner}/image`
}

/** Repository of the infra container's image; one for each provider, so that none takes another's away. */
export function infraRepository(owner: string): string {
  return `tpod.invalid/${owner}/infra`
}

/** Loads the image unless the engine has this very one under our name; then sees that it has.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED for a digest that names nothing, labels without measure, or when the engine
 * holds another image. */
export async function importImage(engine: Engine, image: OpenedImage, options: ImportOptions): Promise<ImageRef> {
  const { repository, signal } = options
  if (!/^sha256:[0-9a-f]{64}$/.test(image.digest)) {
    throw new TrustedPodsError(
      'PROVISION_IMAGE_REFUSED',
      `the image's digest is "${image.digest.slice(0, 80)}", sha256:<hex> is wanted`,
    )
  }
  requireFewLabels(image)
  const name = `${repository}:${image.digest.slice('sha256:'.length)}`
  const held = await inspectImage(engine, name, { signal })
  if (!held || imageDifferences(image, held).length > 0) {
    await loadImage(engine, hybridArchive(image, { repoTag: name }), { signal })
    await requireLoaded(engine, image, { name, signal })
  }
  return name as ImageRef
}

function requireFewLabels({ digest, config }: OpenedImage): void {
  const labels = at(JSON.parse(new TextDecoder().decode(config)), 'config', 'Labels')
  const length = Buffer.byteLength(JSON.stringify(labels) ?? '')
  if (length <= MAX_LABEL_BYTES) return
  throw new TrustedPodsError(
    'PROVISION_IMAGE_REFUSED',
    `the labels of image ${digest.slice(0, 19)} are ${length} bytes as JSON, at most ${MAX_LABEL_BYTES} are wanted`,
  )
}

/** The infra container's image: loaded unless it is there, and checked as a tenant's. Its name says its content.
 * @param arch as process.arch has it. */
export async function loadInfraImage(engine: Engine, arch: string, options: ImportOptions): Promise<string> {
  return importImage(engine, await infraImage(arch), options)
}

/** Takes the names in `repository` that are not in `keep` off; one that a container uses stays. */
export async function pruneImages(
  engine: Engine,
  keep: ReadonlySet<string>,
  { repository, signal }: ImportOptions,
): Promise<void> {
  const tags = await listImageTags(engine, repository, { signal })
  for (const tag of tags) if (!keep.has(tag)) await removeImage(engine, tag, { signal })
}

async function requireLoaded(
  engine: Engine,
  image: OpenedImage,
  { name, signal }: { name: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const loaded = await inspectImage(engine, name, { signal })
  const differing = loaded ? imageDifferences(image, loaded) : ['the engine has no such image after it took it']
  if (differing.length === 0) return
  await removeImage(engine, name)
  throw new TrustedPodsError(
    'PROVISION_IMAGE_REFUSED',
    `${name} is not what was loaded: ${differing.join('; ').slice(0, 500)}`,
  )
}

/** The id says it all where it is the config's digest; Docker's containerd store has the manifest's, so fields are compared. */
export function imageDifferences(image: OpenedImage, seen: ImageInspection): string[] {
  const config: unknown = JSON.parse(new TextDecoder().decode(image.config))
  const wanted = Object.fromEntries(CONFIG_FIELDS.map((field) => [field, at(config, 'config', field)]))
  return [
    ...differences(textsAt(config, 'rootfs', 'diff_ids'), seen.diffIds, 'layers'),
    ...differences(wanted, seen.config, 'config'),
  ]
}
