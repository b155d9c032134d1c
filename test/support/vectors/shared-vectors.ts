/** Where genuine evidence lies that is not part of this repository: TRUSTED_PODS_VECTORS, or a folder beside it. */
import { resolve } from 'node:path'

export const SHARED_VECTORS =
  process.env.TRUSTED_PODS_VECTORS ?? resolve(import.meta.dirname, '../../../../shared/vectors')
