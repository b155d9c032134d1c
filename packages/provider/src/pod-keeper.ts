/**
 * Carries each pod from one phase to the next, writing the phase before acting on it. Safe to kill at any point: `recover`
 * takes up every pod where the journal says it stands, adopts what runs, and removes what belongs to no live pod.
 */
import { fromBinary } from '@bufbuild/protobuf'
import type { Connection } from '@libp2p/interface'
import { isErrorCode, TrustedPodsError, toTrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Changes } from './changes.ts'
import type { Charger } from './charger.ts'
import type { Front } from './gateway/front.ts'
import type { ImageIntake } from './image-intake.ts'
import type { Journal, PodChange } from './journal.ts'
import type { Meter } from './meter.ts'
import { LIVE_PHASES, type PodRow, STARTING_PHASES } from './pod-row.ts'
import { httpRoutes, toPodSpec } from './pod-spec.ts'
import { requireStarted } from './readiness.ts'
import { RestartBackoff } from './restart-backoff.ts'
import type { ImageRef, PodObservation, PodRuntime } from './runtime/pod-runtime.ts'

export interface KeeperParts {
  readonly journal: Journal
  readonly runtime: PodRuntime
  readonly intake: ImageIntake
  readonly front: Front
  readonly meter: Meter
  readonly charger: Charger
  readonly changes: Changes
  readonly log: Logger
  /** How long a pod that needs blocks waits for its publisher to come back. */
  readonly publisherGraceMs: number
}

/** Why a pod is ended: one of these words, or an error code for a failure. */
export type EndReason = { code: string; message: string }

interface Job {
  readonly abort: AbortController
  readonly done: Promise<void>
}

export class PodKeeper {
  readonly #parts: KeeperParts
  readonly #jobs = new Map<string, Job>()
  readonly #ending = new Map<string, Promise<void>>()
  readonly #sources = new Map<string, Connection>()
  readonly #restarts = new RestartBackoff()

  constructor(parts: KeeperParts) {
    this.#parts = parts
  }

  /** Works on the pod until it runs or fails; a pod that waits for its publisher goes on with this connection. */
  start(podId: string, connection: Connection): void {
    this.#sources.set(podId, connection)
    this.#parts.changes.notify(podId)
    this.#begin(podId)
  }

  /** Ends the pod and returns once it is gone and its channel was dealt with. Safe to repeat. */
  async end(podId: string, reason: EndReason): Promise<void> {
    const ending = this.#ending.get(podId) ?? this.#endNow(podId, reason).finally(() => this.#ending.delete(podId))
    this.#ending.set(podId, ending)
    await ending
  }

  /** Takes up what an earlier process left. */
  async recover(): Promise<void> {
    const { journal, runtime, log } = this.#parts
    const live = new Set(journal.pods(LIVE_PHASES).map(({ podId }) => podId))
    for (const { podId } of await runtime.list()) {
      if (live.has(podId)) continue
      log.warn('removing a pod that the journal does not have', { pod: podId })
      await runtime.remove(podId, { volumes: true })
    }
    for (const row of journal.pods(['stopping']))
      this.#background(this.end(row.podId, row.reason ?? { code: 'restart', message: '' }), row.podId)
    for (const row of journal.pods(STARTING_PHASES)) this.#begin(row.podId)
    for (const { podId } of journal.pods(['running'])) {
      // Unknown is never "no": a pod that cannot be seen now stays as it is, and the next round looks again.
      await this.reconcile(podId).catch((error: unknown) =>
        log.error('pod not adopted yet', { pod: podId, reason: String(error) }),
      )
      log.info('pod taken up', { pod: podId })
    }
  }

  /** Looks at a running pod and starts again what has exited. What cannot be seen is not billed, and not touched. */
  async reconcile(podId: string): Promise<void> {
    const { journal, runtime, meter, changes } = this.#parts
    const row = journal.pod(podId)
    if (row?.phase !== 'running' || this.#jobs.has(podId) || this.#ending.has(podId)) return
    try {
      const observed = await runtime.observe(podId)
      const current = await this.#restartExited(row, observed)
      if (current) this.#serve(podOf(row), current)
    } catch (error) {
      meter.pause(podId)
      throw error
    }
    if (journal.pod(podId)?.phase === 'running') meter.start(podId)
    changes.notify(podId)
  }

  async #restartExited(row: PodRow, observed: PodObservation | undefined): Promise<PodObservation | undefined> {
    const pod = podOf(row)
    if (observed && allRun(pod, observed)) {
      this.#restarts.settled(row.podId)
      return observed
    }
    if (!this.#restarts.allows(row.podId)) return undefined
    this.#restarts.attempted(row.podId)
    return this.#parts.runtime.apply(toPodSpec(row.podId, pod, row.images))
  }

  /** Stops working on pods, without ending any. */
  async close(): Promise<void> {
    for (const { abort } of this.#jobs.values()) abort.abort(new Error('the provider is stopping'))
    await Promise.allSettled([...[...this.#jobs.values()].map(({ done }) => done), ...this.#ending.values()])
  }

  #begin(podId: string): void {
    if (this.#jobs.has(podId) || this.#ending.has(podId)) return
    const abort = new AbortController()
    const done = this.#bringUp(podId, abort.signal)
      .catch((error: unknown) => this.#fail(podId, error, abort.signal))
      .finally(() => this.#jobs.delete(podId))
    this.#jobs.set(podId, { abort, done })
  }

  async #bringUp(podId: string, signal: AbortSignal): Promise<void> {
    const { journal, intake, runtime, log } = this.#parts
    const row = journal.pod(podId)
    if (!row || !STARTING_PHASES.some((phase) => phase === row.phase)) return
    const pod = podOf(row)
    if (row.images.length === 0) {
      this.#change(podId, { phase: 'fetching' })
      await this.#fetch(podId, pod, signal)
      this.#change(podId, { phase: 'opening' })
      this.#change(podId, { images: await intake.open(podId, pod, { signal }) })
    }
    this.#change(podId, { phase: 'starting' })
    const images = journal.pod(podId)?.images ?? []
    const observed = await runtime.apply(toPodSpec(podId, pod, images), { signal })
    await requireStarted(observed, pod, { runtime, signal })
    this.#run(podId, pod, observed)
    log.info('pod runs', { pod: podId })
  }

  #run(podId: string, pod: Pod, observed: PodObservation): void {
    this.#serve(pod, observed)
    this.#change(podId, { phase: 'running' })
    this.#parts.meter.start(podId)
  }

  #serve(pod: Pod, { address }: PodObservation): void {
    if (!address) return
    for (const { host, targetPort } of httpRoutes(pod)) this.#parts.front.setRoute(host, { address, port: targetPort })
  }

  /** Pulls the images from the publisher, over as many connections as it takes until the grace is over. */
  async #fetch(podId: string, pod: Pod, signal: AbortSignal): Promise<void> {
    const { journal, intake, changes, log } = this.#parts
    for (;;) {
      const connection = await this.#source(podId, signal)
      try {
        const onProgress = (fetchedBytes: number) => {
          journal.change(podId, { fetchedBytes })
          changes.notify(podId)
        }
        return await intake.fetch(podId, pod, { connection, signal, onProgress })
      } catch (error) {
        if (signal.aborted || connection.status === 'open') throw error
        log.info('publisher lost while fetching', { pod: podId, reason: String(error) })
      }
    }
  }

  async #source(podId: string, signal: AbortSignal): Promise<Connection> {
    const until = performance.now() + this.#parts.publisherGraceMs
    for (;;) {
      const next = this.#parts.changes.next(podId, { timeoutMs: Math.max(0, until - performance.now()), signal })
      const connection = this.#sources.get(podId)
      if (connection?.status === 'open') return connection
      if (performance.now() >= until) {
        throw new TrustedPodsError('PROVISION_IMAGE_FETCH', 'the publisher went away before its images were fetched')
      }
      await next
      signal.throwIfAborted()
    }
  }

  async #fail(podId: string, error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { code, message } = toTrustedPodsError(error, 'PROVISION_RUNTIME')
    this.#parts.log.error('pod failed', { pod: podId, code, reason: message })
    this.#background(this.end(podId, { code, message }), podId)
  }

  async #endNow(podId: string, reason: EndReason): Promise<void> {
    const { journal } = this.#parts
    const row = journal.pod(podId)
    if (!row || row.phase === 'stopped' || row.phase === 'failed') return
    if (row.phase !== 'stopping')
      this.#change(podId, { phase: 'stopping', reason: { code: reason.code, message: boundText(reason.message) } })
    this.#parts.log.info('pod ending', { pod: podId, reason: reason.code })
    const job = this.#jobs.get(podId)
    job?.abort.abort(new Error('the pod is being ended'))
    await job?.done
    await this.#takeDown(row)
    const failed = isErrorCode(row.reason?.code ?? reason.code)
    this.#change(podId, { phase: failed ? 'failed' : 'stopped', endedAtMs: Date.now(), forget: true })
    await this.#parts.charger.settle(podId)
    this.#parts.changes.notify(podId)
  }

  async #takeDown(row: PodRow): Promise<void> {
    const { runtime, meter, front, intake, charger } = this.#parts
    meter.stop(row.podId)
    for (const { host } of row.pod ? httpRoutes(podOf(row)) : []) front.removeRoute(host)
    await runtime.remove(row.podId, { volumes: true })
    await charger.finalReceipt(row.podId)
    await intake.forget(row.podId)
    this.#sources.delete(row.podId)
    await runtime.pruneImages(this.#imagesInUse(row.podId))
  }

  #imagesInUse(but: string): Set<ImageRef> {
    const rows = this.#parts.journal.pods(LIVE_PHASES).filter(({ podId }) => podId !== but)
    return new Set(rows.flatMap(({ images }) => images as ImageRef[]))
  }

  #change(podId: string, change: PodChange): void {
    this.#parts.journal.change(podId, change)
    this.#parts.changes.notify(podId)
  }

  #background(work: Promise<void>, podId: string): void {
    work.catch((error: unknown) => this.#parts.log.error('pod not ended yet', { pod: podId, reason: String(error) }))
  }
}

function podOf(row: PodRow): Pod {
  if (!row.pod) throw new TrustedPodsError('PLATFORM_STATE', `the journal has no manifest for pod ${row.podId}`)
  return fromBinary(PodSchema, row.pod)
}

function allRun(pod: Pod, { containers }: PodObservation): boolean {
  return containers.length === pod.containers.length && containers.every(({ state }) => state === 'running')
}
