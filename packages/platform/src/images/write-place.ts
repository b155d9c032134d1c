/** Puts what stands on a stage to its place, whole or not at all. Spec: spec/IMAGES.md#places. */
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { fullImageName } from '@trusted-pods/protocol/image/image-reference.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import type { Engine } from '../engine/engine-client.ts'
import { inspectImage, loadImage } from '../engine/images.ts'
import { hybridArchive } from '../hybrid-archive.ts'
import { pushImage, refuseTakenReference } from '../image-registry/registry-push.ts'
import type { Blob, ReadOptions } from './image-reader.ts'
import type { LayoutStage } from './layout-stage.ts'
import { engineAt, type PlaceOptions } from './open-place.ts'
import { openStagedImage } from './staged-image.ts'
import {
  refuseTakenFile,
  refuseTakenTag,
  taken,
  writeFileWhole,
  writeLayoutArchive,
  writeLayoutFolder,
} from './write-layout.ts'

/** Places that can be written: a bare name could mean two. */
export type WritablePlace = Exclude<ImagePlace, { kind: 'name' | 'ipfs' }>

export interface WritePlaceOptions extends PlaceOptions {
  readonly root: Blob
  /** Whether a name, a tag or a file that is there already is replaced. */
  readonly replace: boolean
}

/** Folder for the stage: the file system of the destination, so that it can be renamed into place. */
export function stageParent(place: ImagePlace): string {
  return 'path' in place ? dirname(resolve(place.path)) : tmpdir()
}

/** What can be known before the work begins. @throws TrustedPodsError PLATFORM_CONFIG where something is there already. */
export async function refuseTaken(place: WritablePlace, options: PlaceOptions): Promise<void> {
  switch (place.kind) {
    case 'oci':
      return refuseTakenTag(place)
    case 'oci-archive':
    case 'docker-archive':
      return refuseTakenFile(place.path)
    case 'docker-daemon':
      return refuseTakenName(await engineAt(options), withTag(place.name), options)
    case 'docker':
      return refuseTakenReference(place.name, options)
  }
}

/** @throws TrustedPodsError PLATFORM_CONFIG where something is there already; MANIFEST_IMAGE_INVALID for what the place cannot hold. */
export async function writePlace(stage: LayoutStage, place: WritablePlace, options: WritePlaceOptions): Promise<void> {
  switch (place.kind) {
    case 'oci':
      return writeLayoutFolder(stage, { ...options, ...place })
    case 'oci-archive':
      return writeLayoutArchive(stage, { ...options, ...place })
    case 'docker-archive': {
      const image = await openStagedImage(stage, options.root, options)
      const repoTag = place.name === undefined ? undefined : withTag(place.name)
      return writeFileWhole(hybridArchive(image, { repoTag }), { ...options, ...place })
    }
    case 'docker-daemon':
      return loadIntoEngine(stage, place.name, options)
    case 'docker':
      return pushImage(place.name, stage, options)
  }
}

async function loadIntoEngine(stage: LayoutStage, name: string, options: WritePlaceOptions): Promise<void> {
  const { root, replace, signal } = options
  const engine = await engineAt(options)
  const repoTag = withTag(name)
  if (!replace) await refuseTakenName(engine, repoTag, { signal })
  await loadImage(engine, hybridArchive(await openStagedImage(stage, root, options), { repoTag }), { signal })
}

async function refuseTakenName(engine: Engine, name: string, { signal }: ReadOptions): Promise<void> {
  if (await inspectImage(engine, name, { signal })) throw taken(`docker-daemon:${name}`)
}

/** Engines take a name without a tag for no name at all. */
function withTag(name: string): string {
  if (name.includes('@')) throw invalidImage(`${name}: a digest cannot be chosen, name a tag`)
  return fullImageName(name) === fullImageName(`${name}:latest`) ? `${name}:latest` : name
}
