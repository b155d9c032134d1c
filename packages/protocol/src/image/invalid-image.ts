/** What a user's own image is refused with that cannot be published as it is. */
import { TrustedPodsError } from '../errors.ts'

export function invalidImage(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_INVALID', message, cause === undefined ? {} : { cause })
}
