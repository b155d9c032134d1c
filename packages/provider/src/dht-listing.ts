/** The provider in the DHT: gives its record to whoever asks, and lets itself be found. Spec: spec/REGISTRY.md#dht. */
import type { Libp2p } from '@libp2p/interface'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  ProviderRecordRequestSchema,
  ProviderRecordResponseSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import { joinDht, rendezvousCid } from '@trusted-pods/protocol/registry/dht.ts'
import { PROVIDER_RECORD } from '@trusted-pods/protocol/wire/protocols.ts'
import { serve } from '@trusted-pods/protocol/wire/serve.ts'
import type { Listing } from './listing.ts'
import { makeRecord, type RecordParts } from './provider-record.ts'

/** How often it says anew that it is there: for peers that came since. */
const PROVIDE_MS = 10 * 60_000
/** After a failure: no peer leads in yet. */
const RETRY_MS = 15_000
/** One walk to the peers that keep it. */
const PROVIDE_TIMEOUT_MS = 60_000

/** Serves this provider's record, made anew for each that asks, unless it does not want to be found. */
export async function serveRecord(parts: RecordParts & { listing: Listing }, options: { log: Logger }): Promise<void> {
  await serve(
    parts.node,
    PROVIDER_RECORD,
    {
      request: ProviderRecordRequestSchema,
      response: ProviderRecordResponseSchema,
      refuse: (value) => ({ result: { case: 'refusal' as const, value } }),
      answer: async () => {
        if (await parts.listing.isWanted())
          return { result: { case: 'record' as const, value: await makeRecord(parts) } }
        throw new TrustedPodsError('QUOTE_NO_PROVIDER', 'this provider does not want to be found')
      },
    },
    options,
  )
}

export interface ProvideParts {
  readonly node: Libp2p
  readonly chain: RecordParts['chain']
  readonly listing: Listing
  /** Peers that lead into the DHT; none: others come to this one. */
  readonly bootstrap: readonly string[]
  readonly log: Logger
}

/** Lets itself be found until disposed. */
export function keepProviding(parts: ProvideParts): AsyncDisposable {
  const stop = new AbortController()
  const { signal } = stop
  const renew = async () => {
    while (!signal.aborted) await pause(await tryProviding(parts, signal), signal)
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
async function tryProviding(
  { node, chain, listing, bootstrap, log }: ProvideParts,
  signal: AbortSignal,
): Promise<number> {
  try {
    if (!(await listing.isWanted())) return PROVIDE_MS
    if (bootstrap.length > 0) await joinDht(node, bootstrap, { signal })
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PROVIDE_TIMEOUT_MS)])
    await node.contentRouting.provide(await rendezvousCid(chain), { signal: limit })
    log.info('to be found in the DHT', {})
    return PROVIDE_MS
  } catch (error) {
    if (!signal.aborted) log.error('not to be found in the DHT yet', { reason: String(error) })
    return RETRY_MS
  }
}
