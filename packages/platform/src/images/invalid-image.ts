/** The one refusal of a user's own image that cannot be used as it is. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

export function invalidImage(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_INVALID', message, cause === undefined ? {} : { cause })
}

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
