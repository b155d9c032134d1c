/** Tells everybody who waits that something about a pod may have changed: a hint to look again, never the fact itself. */

export class Changes {
  readonly #waiting = new Map<string, Set<() => void>>()

  notify(podId: string): void {
    const waiting = this.#waiting.get(podId)
    this.#waiting.delete(podId)
    for (const wake of waiting ?? []) wake()
  }

  /** Resolves at the next change of the pod, after `timeoutMs`, or when the signal aborts. */
  async next(podId: string, { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal }): Promise<void> {
    if (signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiting = this.#waiting.get(podId) ?? new Set()
    this.#waiting.set(podId, waiting.add(resolve))
    const timer = setTimeout(resolve, timeoutMs)
    const onAbort = () => resolve()
    signal.addEventListener('abort', onAbort)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      waiting.delete(resolve)
    }
  }
}
