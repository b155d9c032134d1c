/** How often and how patiently a lost connection is made again: the one place that says so for all exchanges. */
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { waitMs } from './wait.ts'

/** Six tries over half a minute: a provider that crashed is back by then, and nobody waits for one that is gone. */
export const RECONNECT_TRIES = 6
const FIRST_DELAY_MS = 1_000

/** Failures of the way to the peer, not of what was asked. */
const LOST: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'WIRE_CLOSED',
  'WIRE_TRUNCATED',
  'WIRE_TIMEOUT',
  'WIRE_DIAL_FAILED',
  'WIRE_BUSY',
  // A provider of ours has spoken it before: one that starts again listens before it answers.
  'WIRE_UNSUPPORTED_PROTOCOL',
  'ATTEST_STALE',
  'ATTEST_REQUIRED',
  'ATTEST_UNAVAILABLE',
])

export function isLostConnection(error: unknown): boolean {
  return error instanceof TrustedPodsError && LOST.has(error.code)
}

export interface RetryOptions {
  /** RECONNECT_TRIES unless given. */
  tries?: number
  signal?: AbortSignal
}

/** Does it again while the way to the peer is what fails. @throws what the last try threw, or the first other failure. */
export async function whileLost<T>(
  attempt: () => Promise<T>,
  { tries = RECONNECT_TRIES, signal }: RetryOptions = {},
): Promise<T> {
  for (let made = 1; ; made++) {
    try {
      return await attempt()
    } catch (error) {
      if (!isLostConnection(error) || made >= tries) throw error
    }
    await waitBeforeTry(made, signal ? { signal } : {})
  }
}

/** Waits before try number `tries` + 1; twice as long each time, at last half a minute.
 * @throws the signal's reason when it aborts. */
export function waitBeforeTry(tries: number, options: { signal?: AbortSignal } = {}): Promise<void> {
  return waitMs(FIRST_DELAY_MS * 2 ** (Math.min(tries, RECONNECT_TRIES) - 1), options)
}
