/** Publishes the images of a manifest from wherever it says they lie, and says how far it is. */
import { openPlace } from '@trusted-pods/platform/images/open-place.ts'
import { plainSource } from '@trusted-pods/platform/images/plain-source.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { IMAGE_PLACES, parseImagePlace } from '@trusted-pods/protocol/image/image-place.ts'
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import type { ConfigPrivacy } from '@trusted-pods/protocol/image/public-config.ts'
import { createImagePublisher, type ImagePublisher } from '@trusted-pods/publisher/publish-images.ts'
import type { Blocks } from './blocks.ts'
import type { Config } from './config.ts'
import type { Context } from './context.ts'
import { identifyEngineImage } from './engine-image-id.ts'
import { engineSocket, placeFrom, placeOptions } from './image-places.ts'
import { openImageStore } from './image-store.ts'
import { publishedBefore } from './published-before.ts'
import { formatBytes } from './units.ts'

/** 5 s between two lines about one image: a person sees that it goes on, a log does not drown. */
const PROGRESS_INTERVAL_MS = 5_000

export interface ImagePublisherParts {
  readonly config: Config
  readonly blocks: Blocks
  readonly privacy: ConfigPrivacy
  /** Folder of the manifest: paths in it are meant from there. */
  readonly folder: string
}

export function imagePublisher(
  context: Context,
  { config, blocks, privacy, folder }: ImagePublisherParts,
): ImagePublisher {
  const { output } = context
  const { blockstore, cache } = blocks
  let lastSaidAt = 0
  const publisher = createImagePublisher({
    blockstore,
    crypto: nodeStreamCrypto,
    cache,
    images: cache,
    config: privacy,
    onSecretLooking: (image, names) =>
      output.progress(
        `${image}: anybody who has its CID can read ${names.join(', ')} in its config: leave out --image-config plain, or move them into env of the manifest`,
      ),
    identify: (image, { signal }) =>
      identifyEngineImage(image, {
        engineSocket: engineSocket(context.around.env, config),
        signal: signal ?? context.signal,
      }),
    onPublished: (image, published) => blocks.pin(published, image),
    openSource: (image, { signal }) => {
      output.step('manifest', `reading and encrypting ${image}`)
      lastSaidAt = performance.now()
      return openImage(context, { image, config, folder, signal })
    },
    onProgress: (image, { layer, layers, bytes }) => {
      if (performance.now() - lastSaidAt < PROGRESS_INTERVAL_MS) return
      lastSaidAt = performance.now()
      output.step('manifest', `${image}: layer ${layer + 1} of ${layers}, ${formatBytes(bytes)} so far`)
    },
  })
  return {
    async publish(image, options) {
      const before = await publishedBefore(context, { image, blockstore, ...options })
      if (before) await blocks.pin(before, image)
      return before ?? publisher.publish(image, options)
    },
  }
}

interface Wanted {
  image: string
  config: Config
  folder: string
  signal: AbortSignal | undefined
}

/** The store stays open with the source: blocks of an `ipfs:` image are read until the last layer is encrypted. */
async function openImage(context: Context, { image, config, folder, signal }: Wanted): Promise<ImageSource> {
  const place = parseImagePlace(image)
  if (!place) throw new TrustedPodsError('MANIFEST_IMAGE_INVALID', `${image} is no place: wanted ${IMAGE_PLACES}`)
  await using opened = new AsyncDisposableStack()
  const store = opened.use(openImageStore(context))
  const options = { ...placeOptions(context, { config, store }), signal: signal ?? context.signal }
  const source = opened.use(await plainSource(await openPlace(placeFrom(folder, place), options), options))
  const kept = opened.move()
  return { ...source, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
