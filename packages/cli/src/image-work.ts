/** One image from a place to a place, each layer through a transformation, with progress; what the image commands share. */
import type { BlobWriter } from '@trusted-pods/platform/images/blob-writer.ts'
import type { Blob, ImageReader } from '@trusted-pods/platform/images/image-reader.ts'
import { openStage } from '@trusted-pods/platform/images/layout-stage.ts'
import { openPlace, type PlaceOptions } from '@trusted-pods/platform/images/open-place.ts'
import {
  type LayerTransform,
  type TransformProgress,
  transformImage,
} from '@trusted-pods/platform/images/transform-image.ts'
import { refuseTaken, stageParent, type WritablePlace, writePlace } from '@trusted-pods/platform/images/write-place.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { type Command, Option } from 'commander'
import { loadConfig } from './config.ts'
import type { Context } from './context.ts'
import { placeOptions } from './image-places.ts'
import { type ImageStore, openImageStore } from './image-store.ts'
import type { IpfsFlags } from './ipfs-nodes.ts'
import type { Output } from './output.ts'
import { formatBytes } from './units.ts'

/** 2 s between two lines about one image: a person sees that it goes on, a log does not drown. */
const PROGRESS_INTERVAL_MS = 2_000

export interface SourceFlags {
  platform?: string
  all?: boolean
  plainHttp?: string[]
}

export interface WriteFlags extends SourceFlags {
  force?: boolean
}

/** Options of every command that reads a place. */
export function addSourceOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--platform <os/arch>', 'take this platform of several (default: linux/amd64, or the only one)'),
    )
    .option(
      '--plain-http <host>',
      'ask this registry without TLS; can be repeated (this machine needs none)',
      (host, before: string[]) => [...before, host],
      [],
    )
}

/** Options of every command that writes one. */
export function addWriteOptions(command: Command): Command {
  return addSourceOptions(command).option('--force', 'replace what is there under this name already')
}

/** What is open while a command works. */
export interface ImageWork extends AsyncDisposable {
  readonly places: PlaceOptions
  readonly store: ImageStore
  readonly reader: ImageReader
}

export async function openWork(
  context: Context,
  source: ImagePlace,
  flags: SourceFlags & IpfsFlags,
): Promise<ImageWork> {
  await using opened = new AsyncDisposableStack()
  const config = await loadConfig(context.configPath)
  const store = opened.use(openImageStore(context, flags))
  const places = placeOptions(context, { config, store, plainHttp: flags.plainHttp })
  const reader = opened.use(await openPlace(source, places))
  const kept = opened.move()
  return { places, store, reader, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** What becomes of an image on its way. */
export interface Transformation<Flags = SourceFlags> {
  transform: LayerTransform
  /** What takes the place of its config. */
  config?: (config: Uint8Array) => Uint8Array
  flags: Flags
}

/** The transformed image, blob by blob, with progress. */
export async function writeBlobs(
  { signal, output }: Context,
  { reader }: ImageWork,
  { blobs, transform, config, flags }: Transformation & { blobs: BlobWriter },
): Promise<Blob> {
  const { platform, all = false } = flags
  const onProgress = tellProgress(output, reader.name)
  const options = { transform, ...(config && { config }), platform, all, signal, onProgress }
  const root = await transformImage(reader, blobs, options)
  signal.throwIfAborted()
  return root
}

/** The same into a place that can be written, by way of a stage that is gone afterwards. */
export async function writeTransformed(
  context: Context,
  work: ImageWork,
  { destination, ...transformation }: Transformation<WriteFlags> & { destination: WritablePlace },
): Promise<Blob> {
  const { force = false } = transformation.flags
  if (!force) await refuseTaken(destination, work.places)
  await using stage = await openStage(stageParent(destination))
  const root = await writeBlobs(context, work, { blobs: stage, ...transformation })
  await writePlace(stage, destination, { ...work.places, root, replace: force })
  return root
}

function tellProgress(output: Output, name: string): (progress: TransformProgress) => void {
  let saidAt = performance.now()
  return ({ layer, layers, bytes }) => {
    if (performance.now() - saidAt < PROGRESS_INTERVAL_MS) return
    saidAt = performance.now()
    output.progress(`${name}: layer ${layer + 1} of ${layers}, ${formatBytes(bytes)} of it so far`)
  }
}
