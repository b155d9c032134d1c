/**
 * Looks at a channel as soon as something has happened to it, and at all of them when the chain was rewritten. Only a hint: what
 * counts is the state that is then read, so an event that comes twice or not at all does no harm. Spec: spec/PAYMENT.md#reorganisation.
 */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { advanceCursor } from '@trusted-pods/protocol/chain/cursor.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Journal } from './journal.ts'

export interface ChannelEvents {
  /** Pods whose channel was mentioned; 'all' after a reorganisation. */
  readonly podIds: ReadonlySet<string> | 'all'
}

/** Every event of the escrow that is about a channel has its id as the first indexed argument. */
const ID_TOPIC = 1

export async function readChannelEvents(
  chain: Chain,
  { journal, log }: { journal: Journal; log: Logger },
  review: (events: ChannelEvents) => Promise<void> | void,
): Promise<void> {
  await advanceCursor(chain, journal.cursor, {
    address: chain.escrow,
    handle: async ({ logs, rewoundTo }) => {
      if (rewoundTo !== undefined)
        log.warn('the chain was rewritten: all channels are looked at', { above: rewoundTo.toString() })
      const mentioned = new Set(logs.map(({ topics }) => (topics[ID_TOPIC] ?? '').slice(2)))
      await review({ podIds: rewoundTo === undefined ? mentioned : 'all' })
    },
  })
}
