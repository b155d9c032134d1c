/** Places of images as commands and manifests name them, and what opening them takes on this machine. */
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { socketPath } from '@trusted-pods/platform/engine/open-engine.ts'
import type { PlaceOptions } from '@trusted-pods/platform/images/open-place.ts'
import type { WritablePlace } from '@trusted-pods/platform/images/write-place.ts'
import { IMAGE_PLACES, type ImagePlace, parseImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import { InvalidArgumentError } from 'commander'
import type { Config } from './config.ts'
import type { Context } from './context.ts'
import type { ImageStore } from './image-store.ts'
import type { Environment } from './paths.ts'

/** Where Docker listens when nothing says otherwise. */
const DEFAULT_SOCKET = '/var/run/docker.sock'

export interface PlaceParts {
  readonly config: Config
  readonly store: Pick<ImageStore, 'blockstore'>
  /** Hosts that the command line allows to be asked without TLS. */
  readonly plainHttp?: readonly string[] | undefined
}

export function placeOptions(
  { around: { env }, signal }: Pick<Context, 'around' | 'signal'>,
  { config, store, plainHttp = [] }: PlaceParts,
): PlaceOptions {
  return {
    engineSocket: engineSocket(env, config),
    tempDir: tmpdir(),
    blockstore: () => store.blockstore(),
    env,
    plainHttp: [...plainHttp, ...(config.plainHttpRegistries ?? [])],
    signal,
  }
}

/** Where the engine listens that is configured, that DOCKER_HOST names, or that runs. */
export function engineSocket(env: Environment, { engine }: Config): () => string {
  return () => socketPath(engine ?? (env.DOCKER_HOST || DEFAULT_SOCKET))
}

/** For an argument of a command. */
export function toImagePlace(text: string): ImagePlace {
  const place = parseImagePlace(text)
  if (place) return place
  throw new InvalidArgumentError(`wanted ${IMAGE_PLACES}`)
}

/** For an argument that must be a published image. */
export function toCidPlace(text: string): Extract<ImagePlace, { kind: 'ipfs' }> {
  const place = toImagePlace(text)
  if (place.kind === 'ipfs') return place
  throw new InvalidArgumentError('wanted ipfs:CID; other places are read by image encrypt, decrypt and publish')
}

export function toWritablePlace(text: string): WritablePlace {
  const place = toImagePlace(text)
  if (place.kind === 'name')
    throw new InvalidArgumentError(`a name alone could mean two places: docker-daemon:${text} or docker://${text}`)
  if (place.kind === 'ipfs')
    throw new InvalidArgumentError('a CID cannot be chosen: trustedpods image publish gives one')
  return place
}

/** Paths in a manifest are meant from its own folder. */
export function placeFrom(folder: string, place: ImagePlace): ImagePlace {
  return 'path' in place ? { ...place, path: resolve(folder, place.path) } : place
}
