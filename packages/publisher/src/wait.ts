/** A pause that an AbortSignal ends with an error. */
import { pause } from '@trusted-pods/protocol/pause.ts'

/** @throws the signal's reason when it aborts. */
export async function waitMs(durationMs: number, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
  await pause(durationMs, signal)
  signal?.throwIfAborted()
}
