/** At most one piece of work on a pod at a time; whoever ends the pod cancels it and waits until it has really stopped. */

interface Job {
  readonly abort: AbortController
  /** Settles when the work has; never rejects. */
  readonly stopped: Promise<unknown>
}

export class PodJobs {
  readonly #jobs = new Map<string, Job>()

  /** Does the work, or nothing when the pod is being worked on; `work` must look at its signal after every wait. */
  async run(podId: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (this.#jobs.has(podId)) return
    const abort = new AbortController()
    const done = work(abort.signal)
    const stopped = done.then(
      () => this.#jobs.delete(podId),
      () => this.#jobs.delete(podId),
    )
    this.#jobs.set(podId, { abort, stopped })
    await done
  }

  /** Returns once no work on the pod is under way. */
  async cancel(podId: string, reason: string): Promise<void> {
    const job = this.#jobs.get(podId)
    job?.abort.abort(new Error(reason))
    await job?.stopped
  }

  async cancelAll(reason: string): Promise<void> {
    await Promise.all([...this.#jobs.keys()].map((podId) => this.cancel(podId, reason)))
  }
}
