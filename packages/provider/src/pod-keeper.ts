/**
 * Keeps every pod where the journal says it should be. Safe to kill at any point: `recover` takes up each pod where it stands.
 * Nothing is taken down because it could not be seen; what has ended, and is still there, is removed.
 */
import { create } from '@bufbuild/protobuf'
import type { Connection } from '@libp2p/interface'
import { isErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type ExitState, ExitStateSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Charger } from './charger.ts'
import type { Front } from './gateway/front.ts'
import { ImageGate } from './image-gate.ts'
import type { ImageIntake } from './image-intake.ts'
import type { Meter } from './meter.ts'
import { PodJobs } from './pod-jobs.ts'
import { LIVE_PHASES, type PodRow, podOf, STARTING_PHASES, type Suspension } from './pod-row.ts'
import { httpRoutes, toPodSpec } from './pod-spec.ts'
import { type StartParts, startPod } from './pod-start.ts'
import { RestartBackoff } from './restart-backoff.ts'
import type { ImageRef, PodObservation } from './runtime/pod-runtime.ts'
import type { Settler } from './settler.ts'
import type { TrafficMeter } from './traffic-meter.ts'

export interface KeeperParts extends Omit<StartParts, 'images'> {
  readonly front: Pick<Front, 'setRoute' | 'pauseRoute' | 'removeRoute'>
  readonly meter: Pick<Meter, 'start' | 'pause' | 'stop'>
  readonly intake: Pick<ImageIntake, 'fetch' | 'hasSources' | 'open' | 'forget'>
  readonly charger: Pick<Charger, 'requireOpen' | 'finalReceipt'>
  readonly settler: Pick<Settler, 'settle'>
  readonly traffic: Pick<TrafficMeter, 'count' | 'forget'>
}

/** Why a pod is ended: a word of ours, or an error code for a failure. */
export interface EndReason {
  readonly code: string
  readonly message: string
}

export class PodKeeper {
  readonly #parts: KeeperParts
  readonly #jobs = new PodJobs()
  readonly #images = new ImageGate()
  readonly #ending = new Map<string, Promise<void>>()
  /** Suspensions that are being carried out: a pod goes on only once it is really down. */
  readonly #suspending = new Map<string, Promise<void>>()
  readonly #sources = new Map<string, Connection>()
  readonly #restarts = new RestartBackoff()

  constructor(parts: KeeperParts) {
    this.#parts = parts
  }

  /** Works on the pod until it runs or fails; a pod that waits for its publisher goes on with this connection. */
  start(podId: string, connection: Connection): void {
    const { journal, changes } = this.#parts
    if (!STARTING_PHASES.some((phase) => phase === journal.pod(podId)?.phase)) return
    this.#sources.set(podId, connection)
    changes.notify(podId)
    this.#bringUp(podId)
  }

  /** Ends the pod and returns once it is gone and its channel was dealt with. Safe to repeat. */
  async end(podId: string, reason: EndReason): Promise<void> {
    const ending = this.#ending.get(podId) ?? this.#endNow(podId, reason).finally(() => this.#ending.delete(podId))
    this.#ending.set(podId, ending)
    await ending
  }

  /** Takes a running pod down and keeps its data; its channel stays as it is. Safe to repeat. */
  async suspend(podId: string, why: Suspension['why']): Promise<void> {
    const { journal, changes, log } = this.#parts
    if (this.#ending.has(podId)) return
    const row = journal.advance(podId, ['running'], 'suspended', { suspension: { why, sinceMs: Date.now() } })
    if (!row) return
    log.info('pod suspended, its data kept', { pod: podId, reason: why })
    changes.notify(podId)
    await this.#carryOut(row)
    changes.notify(podId)
  }

  /** Starts a suspended pod again, with the data that it had. */
  resume(podId: string): void {
    const { journal, changes, log } = this.#parts
    // The next review asks again.
    if (this.#ending.has(podId) || this.#suspending.has(podId)) return
    const change = { suspension: null, shortOfFundsAtMs: null, resumedAtMs: Date.now() }
    if (!journal.advance(podId, ['suspended'], 'starting', change)) return
    log.info('pod goes on', { pod: podId })
    changes.notify(podId)
    this.#bringUp(podId)
  }

  /** Takes up what an earlier process left. */
  async recover(): Promise<void> {
    const { journal, log } = this.#parts
    await this.sweep()
    for (const row of journal.pods(['stopping']))
      this.#background(this.end(row.podId, row.reason ?? RESTARTED), row.podId)
    for (const { podId } of journal.pods(['running'])) {
      // A pod that cannot be seen now stays as it is, and the next round looks again.
      await this.reconcile(podId).catch((error: unknown) =>
        log.error('pod not adopted yet', { pod: podId, reason: String(error) }),
      )
      log.info('pod taken up', { pod: podId })
    }
  }

  /** Removes what the runtime still holds of pods that have ended. Of a pod that the journal does not have the data stays. */
  async sweep(): Promise<void> {
    const { journal, runtime, log } = this.#parts
    for (const { podId, containers } of await runtime.list()) {
      const row = journal.pod(podId)
      // A suspension that was cut off, or that the runtime could not carry out then.
      if (row?.phase === 'suspended' && containers.length > 0) await this.#carryOut(row)
      if (row && LIVE_PHASES.some((phase) => phase === row.phase)) continue
      if (row || containers.length > 0)
        log.warn('removing what is left of a pod', { pod: podId, known: row !== undefined })
      await runtime.remove(podId, { volumes: row !== undefined })
    }
    await this.#images.prune(runtime, () => this.#imagesInUse())
    // Whatever broke off the work on a starting pod: it is taken up again.
    for (const { podId } of journal.pods(STARTING_PHASES)) this.#bringUp(podId)
  }

  /** Looks at a running pod and starts again what has exited. What cannot be seen is not billed, and not touched. */
  async reconcile(podId: string): Promise<void> {
    if (this.#ending.has(podId)) return
    await this.#jobs.run(podId, (signal) => this.#reconcileNow(podId, signal))
  }

  /** Stops working on pods, without ending any. */
  async close(): Promise<void> {
    await this.#jobs.cancelAll('the provider is stopping')
    await Promise.allSettled(this.#ending.values())
  }

  #bringUp(podId: string): void {
    if (this.#ending.has(podId)) return
    const work = this.#jobs.run(podId, async (signal) => {
      try {
        const observed = await startPod(podId, this.#sources, { ...this.#parts, images: this.#images, signal })
        if (observed) this.#run(podId, observed)
      } catch (error) {
        if (signal.aborted) return
        this.#fail(podId, error)
      }
    })
    this.#background(work, podId)
  }

  #run(podId: string, observed: PodObservation): void {
    const { journal, meter, changes, log } = this.#parts
    const row = journal.advance(podId, ['starting'], 'running')
    if (!row) return
    this.#serve(row, observed)
    meter.start(podId)
    this.#sources.delete(podId)
    changes.notify(podId)
    log.info('pod runs', { pod: podId })
  }

  async #reconcileNow(podId: string, signal: AbortSignal): Promise<void> {
    const { journal, runtime, meter, changes } = this.#parts
    const row = journal.pod(podId)
    if (row?.phase !== 'running') return
    try {
      const observed = await runtime.observe(podId, { signal })
      signal.throwIfAborted()
      const current = await this.#restartExited(row, observed, signal)
      signal.throwIfAborted()
      if (current) this.#serve(row, current)
      meter.start(podId)
      changes.notify(podId)
    } catch (error) {
      if (signal.aborted) return
      meter.pause(podId)
      throw error
    }
  }

  async #restartExited(
    row: PodRow,
    observed: PodObservation | undefined,
    signal: AbortSignal,
  ): Promise<PodObservation | undefined> {
    const pod = podOf(row)
    if (observed && allRun(pod, observed)) {
      this.#restarts.settled(row.podId)
      return observed
    }
    if (!this.#restarts.allows(row.podId)) return undefined
    this.#restarts.attempted(row.podId)
    return this.#parts.runtime.apply(toPodSpec(pod, row), { signal })
  }

  #serve(row: PodRow, { address }: PodObservation): void {
    if (!address) return
    for (const { host, targetPort } of httpRoutes(podOf(row)))
      this.#parts.front.setRoute(host, { address, port: targetPort, podId: row.podId })
  }

  /** A fault that is not ours to name is told to the log alone. */
  #fail(podId: string, error: unknown): void {
    const reason = error instanceof TrustedPodsError ? { code: error.code, message: error.message } : INTERNAL
    this.#parts.log.error('pod failed', { pod: podId, code: reason.code, reason: String(error) })
    const hasRun = this.#parts.journal.pod(podId)?.resumedAtMs !== undefined
    this.#background(hasRun ? this.#suspendAgain(podId) : this.end(podId, reason), podId)
  }

  /** Of one that was to go on the data is kept, whatever went wrong: the next review lets it try again. */
  async #suspendAgain(podId: string): Promise<void> {
    const { journal, changes } = this.#parts
    const suspension = { why: 'funds-exhausted', sinceMs: Date.now() } as const
    const row = journal.advance(podId, STARTING_PHASES, 'suspended', { suspension })
    if (!row) return
    changes.notify(podId)
    await this.#carryOut(row)
  }

  async #endNow(podId: string, reason: EndReason): Promise<void> {
    const { journal, settler, changes, log } = this.#parts
    const row = journal.advance(podId, LIVE_PHASES, 'stopping', {
      reason: { code: reason.code, message: boundText(reason.message) },
    })
    if (!row) return
    changes.notify(podId)
    log.info('pod ending', { pod: podId, reason: row.reason?.code })
    await this.#jobs.cancel(podId, 'the pod is being ended')
    await this.#takeDown(row)
    const phase = isErrorCode(row.reason?.code ?? '') ? 'failed' : 'stopped'
    journal.advance(podId, ['stopping'], phase, { endedAtMs: Date.now(), forget: true })
    changes.notify(podId)
    await settler.settle(podId)
    changes.notify(podId)
    this.#background(
      this.#images.prune(this.#parts.runtime, () => this.#imagesInUse()),
      podId,
    )
  }

  async #takeDown(row: PodRow): Promise<void> {
    const { runtime, front, intake, charger, log } = this.#parts
    for (const { host } of row.pod ? httpRoutes(podOf(row)) : []) front.removeRoute(host, row.podId)
    // It may fail: what it left is taken down here.
    await this.#suspending.get(row.podId)?.catch(() => undefined)
    const exit = await this.#exitOf(row)
    await this.#takeOffline(row)
    await runtime.remove(row.podId, { volumes: true })
    await charger.finalReceipt(row.podId, exit)
    // Room for others' images must not stand between a pod and its money.
    await intake
      .forget(row.podId)
      .catch((error: unknown) => log.error('blocks of images not freed', { pod: row.podId, reason: String(error) }))
    this.#sources.delete(row.podId)
    this.#restarts.forget(row.podId)
    this.#parts.traffic.forget(row.podId)
  }

  /** Takes a suspended pod down, once at a time. */
  async #carryOut(row: PodRow): Promise<void> {
    const takeDown = async () => {
      await this.#jobs.cancel(row.podId, 'the pod is being suspended')
      await this.#takeOffline(row)
    }
    const underWay = this.#suspending.get(row.podId) ?? takeDown().finally(() => this.#suspending.delete(row.podId))
    this.#suspending.set(row.podId, underWay)
    await underWay
  }

  /** No time is counted, nothing answers, nothing runs; volumes stay. */
  async #takeOffline(row: PodRow): Promise<void> {
    const { runtime, meter, front } = this.#parts
    meter.stop(row.podId)
    for (const { host } of row.pod ? httpRoutes(podOf(row)) : []) front.pauseRoute(host, row.podId)
    await runtime.remove(row.podId, { volumes: false })
    // Once nothing passes any more, and before its counters go with its volumes.
    await this.#parts.traffic.count(row.podId)
  }

  /** What had exited by itself, as far as the runtime can say. */
  async #exitOf({ podId, reason }: PodRow): Promise<ExitState> {
    const { runtime } = this.#parts
    const observed = await runtime.observe(podId).catch(() => undefined)
    const exited = observed?.containers.filter(({ state }) => state === 'exited') ?? []
    return create(ExitStateSchema, {
      reason: reason?.code ?? '',
      containers: exited.map(({ name, exitCode }) => ({ name, exitCode: exitCode ?? 0 })),
      endedAtMs: BigInt(Date.now()),
    })
  }

  #imagesInUse(): Set<ImageRef> {
    return new Set(this.#parts.journal.pods(LIVE_PHASES).flatMap(({ images }) => images as ImageRef[]))
  }

  #background(work: Promise<void>, podId: string): void {
    work.catch((error: unknown) => this.#parts.log.error('work on a pod failed', { pod: podId, reason: String(error) }))
  }
}

/** Of a pod that was being ended by an earlier process that had not written why. */
const RESTARTED: EndReason = { code: 'restarted', message: 'ended by an earlier run' }
const INTERNAL: EndReason = { code: 'PROVISION_RUNTIME', message: 'a fault inside the provider; its log says more' }

function allRun(pod: Pod, { containers }: PodObservation): boolean {
  return containers.length === pod.containers.length && containers.every(({ state }) => state === 'running')
}
