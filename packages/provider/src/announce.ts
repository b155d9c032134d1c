/** Keeps the provider's record in the registry of its chain for as long as it wants to be found. Spec: spec/REGISTRY.md. */
import { announce } from '@trusted-pods/protocol/chain/registry.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import type { Listing } from './listing.ts'
import { makeRecord, type RecordParts } from './provider-record.ts'

export interface AnnounceParts extends RecordParts {
  readonly listing: Listing
  readonly log: Logger
}

/** A record holds for 30 days. */
const RENEW_MS = 7 * 24 * 3600_000
/** After an announcement that failed: a chain that is away, an account without coin for gas. */
const RETRY_MS = 30_000

/** Announces at once and from then on; a chain that cannot be reached holds up nothing but the listing. */
export async function keepAnnouncing(parts: AnnounceParts): Promise<AsyncDisposable> {
  const stop = new AbortController()
  const { signal } = stop
  let waitMs = await tryAnnouncing(parts)
  const renew = async () => {
    for (await pause(waitMs, signal); !signal.aborted; await pause(waitMs, signal)) waitMs = await tryAnnouncing(parts)
  }
  const renewing = renew()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the provider is stopping'))
      await renewing
    },
  }
}

/** How long until the next. */
async function tryAnnouncing(parts: AnnounceParts): Promise<number> {
  const { chain, listing, log } = parts
  try {
    const record = await makeRecord(parts)
    await listing.keepRecord(record)
    if (!(await listing.isWanted())) {
      log.info('not announced: tpodserver unregister was called', {})
      return RENEW_MS
    }
    const { transaction } = await announce(chain, record)
    log.info('announced in the registry', { transaction })
    return RENEW_MS
  } catch (error) {
    log.error('not announced yet: publishers do not find this provider', { reason: String(error) })
    return RETRY_MS
  }
}
