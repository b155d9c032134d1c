/** Publishes images from the engine of this machine and says how far it is. */
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import type { ConfigPrivacy } from '@trusted-pods/protocol/image/public-config.ts'
import { createImagePublisher, type ImagePublisher } from '@trusted-pods/publisher/publish-images.ts'
import type { Blocks } from './blocks.ts'
import type { Config } from './config.ts'
import type { Context } from './context.ts'
import { identifyEngineImage, openEngineImage } from './engine-images.ts'
import { formatBytes } from './units.ts'

/** 5 s between two lines about one image: a person sees that it goes on, a log does not drown. */
const PROGRESS_INTERVAL_MS = 5_000

export function imagePublisher(
  { output, around: { env } }: Context,
  { config, blocks, privacy }: { config: Config; blocks: Blocks; privacy: ConfigPrivacy },
): ImagePublisher {
  let lastSaidAt = 0
  const { blockstore, cache } = blocks
  return createImagePublisher({
    blockstore,
    crypto: nodeStreamCrypto,
    cache,
    images: cache,
    config: privacy,
    onSecretLooking: (image, names) =>
      output.progress(
        `${image}: anybody who has its CID can read ${names.join(', ')} in its config: leave out --image-config plain, or move them into env of the manifest`,
      ),
    identify: (image, { signal }) => identifyEngineImage(image, { config, env, ...(signal && { signal }) }),
    onPublished: (_, { cid }) => blocks.pin(cid),
    openSource: (image, { signal }) => {
      output.step('manifest', `reading and encrypting ${image}`)
      lastSaidAt = performance.now()
      return openEngineImage(image, { config, env, ...(signal && { signal }) })
    },
    onProgress: (image, { layer, layers, bytes }) => {
      if (performance.now() - lastSaidAt < PROGRESS_INTERVAL_MS) return
      lastSaidAt = performance.now()
      output.step('manifest', `${image}: layer ${layer + 1} of ${layers}, ${formatBytes(bytes)} so far`)
    },
  })
}
