/** Opens the image at any place. Spec: spec/IMAGES.md#places. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import type { Blockstore } from 'interface-blockstore'
import { connectEngine, type Engine } from '../engine/engine-client.ts'
import { saveImage } from '../engine/images.ts'
import { openDockerArchive, openSpooledArchive } from '../engine-image-source.ts'
import type { RegistryOptions } from '../image-registry/registry-connection.ts'
import { openRegistryImage } from '../image-registry/registry-reader.ts'
import { spoolArchive } from './archive-file.ts'
import type { ImageReader } from './image-reader.ts'
import { folderFiles, openLayout, spooledFiles } from './layout-reader.ts'
import { readSource } from './source-reader.ts'
import { openTree } from './tree-reader.ts'

/** How the engine is reached. */
export type EngineOptions = Pick<PlaceOptions, 'engineSocket' | 'signal'>

export interface PlaceOptions extends RegistryOptions {
  /** Socket of the engine that `docker-daemon:` and bare names mean; asked for only when it is needed. */
  readonly engineSocket: () => string
  /** Folder for what an archive or an engine gives, in private folders below it. */
  readonly tempDir: string
  /** Where `ipfs:` looks; asked for only when it is needed. */
  readonly blockstore: () => Promise<Blockstore>
}

/** @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND where nothing is there, MANIFEST_IMAGE_INVALID where it cannot be read;
 * PLATFORM_ENGINE_MISSING, PLATFORM_IMAGE_LOGIN, PLATFORM_IMAGE_REGISTRY. */
export async function openPlace(place: ImagePlace, options: PlaceOptions): Promise<ImageReader> {
  switch (place.kind) {
    case 'name':
      return openByName(place.name, options)
    case 'docker-daemon':
      return openEngineImage(await engineAt(options), place.name, options)
    case 'docker':
      return openRegistryImage(place.name, options)
    case 'oci':
      return openLayout(folderFiles(place.path), { name: place.path, tag: place.tag })
    case 'oci-archive':
      return openLayout(spooledFiles(await spoolArchive(place.path, options)), { name: place.path, tag: place.tag })
    case 'docker-archive': {
      const spool = await spoolArchive(place.path, options)
      return readSource(await openSpooledArchive(spool, { ...options, name: place.path, image: place.name }))
    }
    case 'ipfs':
      return openTree(await options.blockstore(), place.cid, options)
  }
}

async function openEngineImage(engine: Engine, name: string, options: PlaceOptions): Promise<ImageReader> {
  const { tempDir, signal } = options
  const tar = await saveImage(engine, name, { signal })
  return readSource(await openDockerArchive(tar, { name, tempDir, ...(signal && { signal }) }))
}

/** The engine's image where it has one of this name, else the registry's; when neither has it, both are told. */
async function openByName(name: string, options: PlaceOptions): Promise<ImageReader> {
  const engine = await engineAt(options).catch((error: unknown) => absence(error, options))
  const image = engine instanceof TrustedPodsError ? engine : await openOrAbsence(engine, name, options)
  if (!(image instanceof TrustedPodsError)) return image
  try {
    return await openRegistryImage(name, options)
  } catch (cause) {
    if (!(cause instanceof TrustedPodsError)) throw cause
    const message = `${image.message}; ${cause.message}`
    const code = cause.code === 'PLATFORM_IMAGE_REGISTRY' ? 'MANIFEST_IMAGE_NOT_FOUND' : cause.code
    throw new TrustedPodsError(code, message, { cause })
  }
}

async function openOrAbsence(engine: Engine, name: string, options: PlaceOptions) {
  return openEngineImage(engine, name, options).catch((error: unknown) => absence(error, options))
}

/** Only that there is no engine, or no such image in it, sends us on. */
function absence(error: unknown, { signal }: PlaceOptions): TrustedPodsError {
  signal?.throwIfAborted()
  if (error instanceof TrustedPodsError && ABSENT.includes(error.code)) return error
  throw error
}

const ABSENT: readonly string[] = ['PLATFORM_ENGINE_MISSING', 'MANIFEST_IMAGE_NOT_FOUND']

/** @throws TrustedPodsError PLATFORM_ENGINE_MISSING */
export async function engineAt({ engineSocket, signal }: EngineOptions): Promise<Engine> {
  const socket = engineSocket()
  try {
    return await connectEngine(socket, { signal })
  } catch (cause) {
    signal?.throwIfAborted()
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TrustedPodsError('PLATFORM_ENGINE_MISSING', `no container engine: ${reason}`, { cause })
  }
}
