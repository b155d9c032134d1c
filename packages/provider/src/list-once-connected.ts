/** Whoever has no chain cannot be paid, and is not listed before. */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { OpenLink } from './chain-link.ts'

/**
 * With a chain that is there the provider is listed before anything else is said; else as soon as there is one.
 * @throws what `list` throws, while somebody waits for it; a listing that fails later is told to the log, and ends nothing.
 */
export async function listOnceConnected(
  link: Pick<OpenLink, 'connected' | 'isConnected'>,
  list: (chain: Chain) => Promise<AsyncDisposable>,
  log: Logger,
): Promise<AsyncDisposable> {
  let isStopped = false
  const listing = link.connected.then(async (chain) => {
    if (isStopped) return undefined
    const listed = await list(chain)
    if (!isStopped) return listed
    // The provider has stopped while it was being listed: nobody else would end it.
    await listed[Symbol.asyncDispose]()
    return undefined
  })
  if (link.isConnected) await listing
  let listed: AsyncDisposable | undefined
  listing.then(
    (value) => {
      listed = value
    },
    (error: unknown) => log.error('not listed: publishers do not find this provider', { reason: String(error) }),
  )
  return {
    async [Symbol.asyncDispose]() {
      // Not waited for where it is under way: an announcement may take minutes to be mined.
      isStopped = true
      await listed?.[Symbol.asyncDispose]()
    },
  }
}
