/** The attester that the configuration names; a simulated one only by that name. */
import { join } from 'node:path'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Attester } from './attester.ts'
import { openConfigfsAttester } from './configfs-tsm.ts'
import { openEndorsements } from './endorsements/endorsements.ts'
import type { EndorsementUrls } from './endorsements/stapled.ts'
import { openSimulatedAttester } from './simulated.ts'
import { openSimulatedTdxAttester } from './simulated-tdx.ts'

/** What a configuration may name. */
export const ATTESTER_KINDS = ['configfs-tsm', 'simulated', 'simulated-tdx'] as const
export type AttesterKind = (typeof ATTESTER_KINDS)[number]

export type OpenedAttester = Attester & AsyncDisposable & { readonly rootFingerprint?: string }

export interface OpenAttesterOptions {
  readonly stateDir: string
  readonly log: Logger
  /** Where endorsements are fetched: the makers' own services unless given. */
  readonly urls?: EndorsementUrls
}

export async function openAttester(kind: AttesterKind, options: OpenAttesterOptions): Promise<OpenedAttester> {
  switch (kind) {
    case 'simulated':
      options.log.info('opening the simulated attester; its first start makes RSA keys, which takes seconds')
      return { ...(await openSimulatedAttester(options)), [Symbol.asyncDispose]: () => Promise.resolve() }
    case 'simulated-tdx':
      return { ...(await openSimulatedTdxAttester(options)), [Symbol.asyncDispose]: () => Promise.resolve() }
    case 'configfs-tsm':
      return await openHardware(options)
  }
}

async function openHardware({ stateDir, log, urls }: OpenAttesterOptions): Promise<OpenedAttester> {
  const endorsements = openEndorsements({ folder: join(stateDir, 'endorsements'), log, ...(urls && { urls }) })
  const attester = await openConfigfsAttester({ endorsements, log })
  // Its report for nobody fetches what will be stapled, so that the first publisher need not wait; the announcement shares it.
  const first = attester.findPlatformId().then(
    () => log.info('endorsements are at hand'),
    (error: unknown) => log.warn('no evidence can be given yet', { reason: String(error) }),
  )
  return {
    ...attester,
    [Symbol.asyncDispose]: async () => {
      await endorsements[Symbol.asyncDispose]()
      await first
    },
  }
}
