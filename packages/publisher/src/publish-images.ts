/** Encrypts the images of a manifest and puts them where the provider can pull them. Spec: spec/IMAGES.md#publish. */
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import type { LayerCache } from '@trusted-pods/protocol/image/layer-cache.ts'
import { type ConfigPrivacy, secretLooking } from '@trusted-pods/protocol/image/public-config.ts'
import { type PublishedImage, type PublishProgress, publishImage } from '@trusted-pods/protocol/image/publish.ts'
import type { StreamCrypto } from '@trusted-pods/protocol/image/stream-crypto.ts'
import type { Manifest } from '@trusted-pods/protocol/manifest/manifest.ts'
import type { Blockstore } from 'interface-blockstore'
import { type KnownImages, openKnown } from './known-image.ts'

export interface ImagePublisherParts {
  /** Finds an image by the name in the manifest.
   * @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND */
  openSource(image: string, options: { signal?: AbortSignal }): Promise<ImageSource>
  /** What names the image's content without reading its layers, where there is such a name. */
  identify?(image: string, options: { signal?: AbortSignal }): Promise<string | undefined>
  blockstore: Blockstore
  crypto: StreamCrypto
  /** Layers of earlier publications; without it every layer is encrypted anew. */
  cache?: LayerCache
  /** Images that were read before. */
  images?: KnownImages
  /** How much of an image's config everybody can read; `sealed` when left out. */
  config?: ConfigPrivacy
  /** Told of variables in a config that everybody will be able to read, and that look like secrets. */
  onSecretLooking?: (image: string, names: readonly string[]) => void
  onProgress?: (image: string, progress: PublishProgress) => void
  /** Awaited before the image is handed on. */
  onPublished?: (image: string, published: PublishedImage) => Promise<void>
}

export interface ImagePublisher {
  publish(image: string, options: { signal?: AbortSignal }): Promise<PublishedImage>
}

/** Publishes each image once, however often it is asked for: a second provider gets the same blocks. */
export function createImagePublisher(parts: ImagePublisherParts): ImagePublisher {
  const { openSource, identify, images, blockstore, crypto, cache, config = 'sealed', onProgress, onPublished } = parts
  const published = new Map<string, PublishedImage>()
  return {
    async publish(image, { signal }) {
      const before = published.get(image)
      if (before) return before
      const open = () => openSource(image, signal ? { signal } : {})
      const id = await identify?.(image, signal ? { signal } : {})
      await using source = id && images ? await openKnown(images, { id, name: image, open }) : await open()
      const done = await publishImage(source, {
        blockstore,
        crypto,
        config,
        ...(cache && { cache }),
        ...(signal && { signal }),
        ...(onProgress && { onProgress: (progress: PublishProgress) => onProgress(image, progress) }),
      })
      const names = done.defaults ? [] : secretLooking(source.config)
      if (names.length > 0) parts.onSecretLooking?.(image, names)
      await onPublished?.(image, done)
      published.set(image, done)
      return done
    },
  }
}

/** Every image of a manifest, by its name there; one after the other, as each fills the machine. */
export async function publishImages(
  manifest: Manifest,
  { images, signal }: { images: ImagePublisher; signal?: AbortSignal },
): Promise<ReadonlyMap<string, PublishedImage>> {
  const published = new Map<string, PublishedImage>()
  for (const { image } of manifest.containers) {
    published.set(image, await images.publish(image, signal ? { signal } : {}))
  }
  return published
}
