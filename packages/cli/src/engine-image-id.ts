/** What names an image of the engine by its content: with it, layers that were encrypted before are not read again. */
import { inspectImage } from '@trusted-pods/platform/engine/images.ts'
import { type EngineOptions, engineAt } from '@trusted-pods/platform/images/open-place.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { parseImagePlace } from '@trusted-pods/protocol/image/image-place.ts'

/** Undefined for a place that is not the engine's, without an engine, and where the engine has no such image. */
export async function identifyEngineImage(image: string, options: EngineOptions): Promise<string | undefined> {
  const place = parseImagePlace(image)
  if (place?.kind !== 'name' && place?.kind !== 'docker-daemon') return undefined
  const { signal } = options
  try {
    const found = await inspectImage(await engineAt(options), place.name, { signal })
    // Without its layers the id of another kind of engine would be taken for the same content.
    return found && found.id !== '' ? `engine ${found.id} ${found.diffIds.join(' ')}` : undefined
  } catch (error) {
    // A bare name may lie in a registry; for the engine's own place the reading says it.
    if (error instanceof TrustedPodsError && error.code === 'PLATFORM_ENGINE_MISSING') return undefined
    throw error
  }
}
