/** The one refusal of a published image that is not as it must be. Pure. */
import { TrustedPodsError } from '../errors.ts'

/** The message names the check and never holds a key. */
export function refused(check: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('PROVISION_IMAGE_REFUSED', check, cause === undefined ? {} : { cause })
}
