/** What strict readers refuse of an image that its user named. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'

/** What the strict readers of documents and layers refuse, told as a fault of the image that the user named. */
export async function asInvalidImage<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof TrustedPodsError && cause.code === 'PROVISION_IMAGE_REFUSED')
      throw invalidImage(`${name}: ${cause.message}`, cause)
    throw cause
  }
}
