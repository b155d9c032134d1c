/** An image that was read before, by what names its content: its layers are read only when one is really wanted. Spec: spec/IMAGES.md#cache. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImageSource, ImageSourceLayer } from '@trusted-pods/protocol/image/image-source.ts'

/** What an image was made of. */
export interface KnownImage {
  /** Exact bytes of the config. */
  readonly config: Uint8Array
  readonly layers: readonly Pick<ImageSourceLayer, 'mediaType' | 'diffId'>[]
}

export interface KnownImages {
  findImage(id: string): Promise<KnownImage | undefined>
  keepImage(id: string, image: KnownImage): Promise<void>
}

export interface OpenKnownOptions {
  readonly id: string
  readonly name: string
  open(): Promise<ImageSource>
}

/** The source, remembered for the next time; or what is remembered of it, with the source behind it. */
export async function openKnown(images: KnownImages, { id, name, open }: OpenKnownOptions): Promise<ImageSource> {
  const known = await images.findImage(id)
  if (known) return lazySource(known, name, open)
  const source = await open()
  await images.keepImage(id, source)
  return source
}

function lazySource({ config, layers }: KnownImage, name: string, open: () => Promise<ImageSource>): ImageSource {
  let opening: Promise<ImageSource> | undefined
  const opened = () => {
    opening ??= open()
    return opening
  }
  async function* read(index: number): AsyncGenerator<Uint8Array> {
    const source = await opened()
    const [wanted, found] = [layers[index], source.layers[index]]
    // The name was given to another image meanwhile: what was said of this one no longer holds.
    if (!found || found.diffId !== wanted?.diffId || found.mediaType !== wanted.mediaType)
      throw new TrustedPodsError('MANIFEST_IMAGE_INVALID', `${name} changed while it was read: try again`)
    yield* found.open()
  }
  return {
    name,
    config,
    layers: layers.map(({ mediaType, diffId }, i) => ({ mediaType, diffId, open: () => read(i) })),
    async [Symbol.asyncDispose]() {
      // That it could not be opened was told to whoever read a layer.
      await (await opening?.catch(() => undefined))?.[Symbol.asyncDispose]()
    },
  }
}
