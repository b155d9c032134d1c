/** The two images of the demo, made of one busybox. */
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'

export type HelloImageName = 'trusted-pods/hello-web:1' | 'trusted-pods/hello-sidecar:1'

/** Archive for the engine's load API. */
export async function helloImage(
  _name: HelloImageName,
  _options: { readonly busybox: string },
): Promise<AsyncIterable<Uint8Array>> {
  throw new Error('body follows')
}

export type { OpenedImage }
