/** The attester that the configuration names; a simulated one only by that name. */
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Attester } from './attester.ts'
import { openConfigfsAttester } from './configfs-tsm.ts'
import { openSimulatedAttester } from './simulated.ts'

export async function openAttester(
  kind: 'simulated' | 'configfs-tsm',
  { stateDir, log }: { stateDir: string; log: Logger },
): Promise<Attester & { readonly rootFingerprint?: string }> {
  switch (kind) {
    case 'simulated':
      log.info('opening the simulated attester; its first start makes RSA keys, which takes seconds')
      return openSimulatedAttester({ stateDir })
    case 'configfs-tsm':
      return openConfigfsAttester()
  }
}
