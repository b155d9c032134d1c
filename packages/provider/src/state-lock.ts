/** One provider per state folder: a second one would adopt, meter and claim beside the first. Gone with the process, however it ends. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

/** Held until disposed. @throws TrustedPodsError PLATFORM_STATE when another process holds it. */
export function lockState(stateDir: string): Disposable {
  const file = new DatabaseSync(join(stateDir, 'lock.sqlite'))
  try {
    // An exclusive transaction that is never ended: the kernel lets go of it when the process dies.
    file.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (cause) {
    file.close()
    throw new TrustedPodsError(
      'PLATFORM_STATE',
      `another tpodserver uses ${stateDir}: stop it, or give this one a stateDir of its own`,
      { cause },
    )
  }
  return { [Symbol.dispose]: () => file.close() }
}
