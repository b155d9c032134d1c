/** Images from the container engine of this machine. */
import { tmpdir } from 'node:os'
import { connectEngine } from '@trusted-pods/platform/engine/engine-client.ts'
import { inspectImage, saveImage } from '@trusted-pods/platform/engine/images.ts'
import { socketPath } from '@trusted-pods/platform/engine/open-engine.ts'
import { openDockerArchive } from '@trusted-pods/platform/engine-image-source.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import type { Config } from './config.ts'
import type { Environment } from './paths.ts'

/** Where Docker listens when nothing says otherwise. */
const DEFAULT_SOCKET = '/var/run/docker.sock'

/** Finds an image by its name in the engine that is configured, that DOCKER_HOST names, or that runs.
 * @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND, PLATFORM_ENGINE_MISSING. */
export async function openEngineImage(
  image: string,
  { config, env, signal }: { config: Config; env: Environment; signal?: AbortSignal },
): Promise<ImageSource> {
  const socket = socketPath(config.engine ?? (env.DOCKER_HOST || DEFAULT_SOCKET))
  const engine = await connect(socket, signal)
  const tar = await saveImage(engine, image, { signal })
  return openDockerArchive(tar, { name: image, tempDir: tmpdir(), ...(signal && { signal }) })
}

/** What the engine calls the image by its content; undefined where it has none of this name. */
export async function identifyEngineImage(
  image: string,
  { config, env, signal }: { config: Config; env: Environment; signal?: AbortSignal },
): Promise<string | undefined> {
  const socket = socketPath(config.engine ?? (env.DOCKER_HOST || DEFAULT_SOCKET))
  const found = await inspectImage(await connect(socket, signal), image, { signal })
  // Without its layers the id of another kind of engine would be taken for the same content.
  return found && found.id !== '' ? `engine ${found.id} ${found.diffIds.join(' ')}` : undefined
}

async function connect(socket: string, signal?: AbortSignal) {
  try {
    return await connectEngine(socket, { signal })
  } catch (cause) {
    signal?.throwIfAborted()
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TrustedPodsError('PLATFORM_ENGINE_MISSING', `no container engine: ${reason}`, {
      cause,
    })
  }
}
