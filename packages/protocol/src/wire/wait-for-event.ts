/** Waits for one event of an event target, or for the event that means it will never come. */
import { TrustedPodsError } from '../errors.ts'

export interface WaitOptions {
  rejectOn: string
  signal?: AbortSignal
}

interface Target {
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

/** @throws TrustedPodsError WIRE_CLOSED on the `rejectOn` event; the signal's reason when it aborts. */
export async function waitForEvent(target: object, type: string, { rejectOn, signal }: WaitOptions): Promise<void> {
  const events = target as Target
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onEvent = () => resolve()
  const onReject = () => reject(new TrustedPodsError('WIRE_CLOSED', `the stream was closed before ${type}`))
  const onAbort = () => reject(signal?.reason)
  events.addEventListener(type, onEvent)
  events.addEventListener(rejectOn, onReject)
  signal?.addEventListener('abort', onAbort)
  try {
    await promise
  } finally {
    events.removeEventListener(type, onEvent)
    events.removeEventListener(rejectOn, onReject)
    signal?.removeEventListener('abort', onAbort)
  }
}
