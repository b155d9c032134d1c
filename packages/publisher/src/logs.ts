/** What the containers of a pod wrote, through lost connections. Spec: spec/PROTOCOL.md#logs. */
import type { Libp2p } from '@libp2p/interface'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  type LogLine as LogLineMessage,
  LogMessageSchema,
  LogsRequestSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { requestStream } from '@trusted-pods/protocol/wire/exchange.ts'
import { LOGS } from '@trusted-pods/protocol/wire/protocols.ts'
import { boundText, throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { dial, type Peer } from './dial.ts'
import type { LeaseFacts } from './lease.ts'
import { isLostConnection, RECONNECT_TRIES, waitBeforeTry } from './reconnect.ts'
import type { Relocate } from './relocate.ts'

export interface LogsOptions {
  /** Only this container. */
  container?: string
  /** Go on as lines are written. */
  follow?: boolean
  /** Begin with this many of the last lines of each container; absent: all that are kept. */
  tail?: number
  /** Where the provider is now, when it does not answer where it was. */
  relocate?: Relocate
  signal?: AbortSignal
}

export interface LogLine {
  readonly container: string
  readonly stream: 'stdout' | 'stderr'
  /** Unix nanoseconds. */
  readonly timeNs: bigint
  /** As it was written, without the line's end: not always UTF-8, and it may hold what steers a terminal. */
  readonly text: Uint8Array
}

/** Lines in the order in which the provider sends them; after a lost connection, those after the last one seen.
 * @throws TrustedPodsError WIRE_… when the provider stays away; STATUS_… with remote. */
export async function* readLogs(node: Libp2p, lease: LeaseFacts, options: LogsOptions = {}): AsyncGenerator<LogLine> {
  const { relocate, signal } = options
  const seen = new Map<string, bigint>()
  for (let tries = 1; ; tries++) {
    try {
      await using peer = await dial(node, lease.provider, { ...(relocate && { relocate }), ...(signal && { signal }) })
      // On a later connection all kept lines are asked for: how many are new is not known.
      const request = seen.size === 0 ? options : withoutTail(options)
      for await (const line of streamLogs(peer, lease, request)) {
        tries = 1
        if (line.timeNs <= (seen.get(line.container) ?? -1n) && request !== options) continue
        seen.set(line.container, line.timeNs)
        yield line
      }
      return
    } catch (error) {
      if (!isLostConnection(error) || tries >= RECONNECT_TRIES) throw error
    }
    await waitBeforeTry(tries, signal ? { signal } : {})
  }
}

function withoutTail({ tail: _, ...options }: LogsOptions): LogsOptions {
  return options
}

async function* streamLogs(
  { connection }: Peer,
  lease: LeaseFacts,
  { container = '', follow = false, tail = 0, signal }: LogsOptions,
): AsyncGenerator<LogLine> {
  const message = { podId: fromHex(lease.id) ?? new Uint8Array(), container, follow, tail }
  const ask = { request: LogsRequestSchema, message, response: LogMessageSchema }
  for await (const { result } of requestStream(connection, LOGS, ask, signal ? { signal } : {})) {
    if (result.case === 'refusal') throwRefusal(result.value)
    if (result.case !== 'line')
      throw new TrustedPodsError('WIRE_MALFORMED', 'a log message holds neither a line nor a refusal')
    yield toLogLine(result.value)
  }
}

function toLogLine({ container, stderr, timeNs, text }: LogLineMessage): LogLine {
  return { container: boundText(container), stream: stderr ? 'stderr' : 'stdout', timeNs, text }
}
