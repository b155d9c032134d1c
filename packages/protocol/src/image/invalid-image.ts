/** The one refusal of a user's own image that cannot be used as it is. Pure. */
import { TrustedPodsError } from '../errors.ts'

export function invalidImage(message: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('MANIFEST_IMAGE_INVALID', message, cause === undefined ? {} : { cause })
}
