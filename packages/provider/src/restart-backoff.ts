/** How soon a pod whose container exited is started again: at once, then after 1, 2, 4 … seconds, at most 5 minutes. */

const FIRST_MS = 1_000
const LONGEST_MS = 5 * 60_000
/** A pod that ran this long starts from the beginning. */
const STEADY_MS = 10 * 60_000

interface Attempts {
  count: number
  lastMs: number
}

export class RestartBackoff {
  readonly #attempts = new Map<string, Attempts>()
  readonly #nowMs: () => number

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  allows(podId: string): boolean {
    const attempts = this.#attempts.get(podId)
    if (!attempts) return true
    return this.#nowMs() - attempts.lastMs >= Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempts.count - 1))
  }

  attempted(podId: string): void {
    const count = (this.#attempts.get(podId)?.count ?? 0) + 1
    this.#attempts.set(podId, { count, lastMs: this.#nowMs() })
  }

  forget(podId: string): void {
    this.#attempts.delete(podId)
  }

  /** All of the pod runs. */
  settled(podId: string): void {
    const attempts = this.#attempts.get(podId)
    if (attempts && this.#nowMs() - attempts.lastMs >= STEADY_MS) this.#attempts.delete(podId)
  }
}
