/** Encrypts the images of a manifest and puts them where the provider can pull them. Spec: spec/IMAGES.md#publish. */
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import { type PublishedImage, type PublishProgress, publishImage } from '@trusted-pods/protocol/image/publish.ts'
import type { StreamCrypto } from '@trusted-pods/protocol/image/stream-crypto.ts'
import type { Manifest } from '@trusted-pods/protocol/manifest/manifest.ts'
import type { Blockstore } from 'interface-blockstore'

export interface ImagePublisherParts {
  /** Finds an image by the name in the manifest.
   * @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND */
  openSource(image: string, options: { signal?: AbortSignal }): Promise<ImageSource>
  blockstore: Blockstore
  crypto: StreamCrypto
  onProgress?: (image: string, progress: PublishProgress) => void
}

export interface ImagePublisher {
  publish(image: string, options: { signal?: AbortSignal }): Promise<PublishedImage>
}

/** Publishes each image once, however often it is asked for: a second provider gets the same blocks. */
export function createImagePublisher({
  openSource,
  blockstore,
  crypto,
  onProgress,
}: ImagePublisherParts): ImagePublisher {
  const published = new Map<string, PublishedImage>()
  return {
    async publish(image, { signal }) {
      const before = published.get(image)
      if (before) return before
      await using source = await openSource(image, signal ? { signal } : {})
      const done = await publishImage(source, {
        blockstore,
        crypto,
        ...(signal && { signal }),
        ...(onProgress && { onProgress: (progress: PublishProgress) => onProgress(image, progress) }),
      })
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
