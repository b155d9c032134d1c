/** A pod on its way to running: images fetched, opened, containers started, ports open. Each phase is written before it is acted on. */
import type { Connection } from '@libp2p/interface'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import type { Changes } from './changes.ts'
import type { Charger } from './charger.ts'
import type { ImageGate } from './image-gate.ts'
import type { ImageIntake } from './image-intake.ts'
import type { Journal } from './journal.ts'
import { type Phase, type PodRow, podOf, STARTING_PHASES } from './pod-row.ts'
import { toPodSpec } from './pod-spec.ts'
import { quotedImageBytes } from './quoted.ts'
import { requireStarted } from './readiness.ts'
import type { PodObservation, PodRuntime } from './runtime/pod-runtime.ts'

/** Between two tries of other sources while the publisher is away. */
const RETRY_MS = 30_000
/** 1 s: a connection whose streams have ended by its loss is closed within a few milliseconds. */
const LOSS_MS = 1_000
const TELL_INTERVAL_MS = 1_000
const LOG_INTERVAL_MS = 10_000

export interface StartParts {
  readonly journal: Journal
  readonly runtime: PodRuntime
  readonly intake: Pick<ImageIntake, 'fetch' | 'hasSources' | 'open'>
  readonly images: ImageGate
  readonly charger: Pick<Charger, 'requireOpen'>
  readonly changes: Changes
  readonly log: Logger
  /** How long in all a pod that needs blocks waits for its publisher to be there. */
  readonly publisherGraceMs: number
}

/** Where the publisher of a pod was seen last. */
export type Sources = ReadonlyMap<string, Connection>

/** The pod with all of its containers started and ports open; undefined when it is past starting. */
export async function startPod(
  podId: string,
  sources: Sources,
  parts: StartParts & { signal: AbortSignal },
): Promise<PodObservation | undefined> {
  const { journal, intake, runtime, images, charger, signal } = parts
  const row = journal.pod(podId)
  if (!row || !STARTING_PHASES.some((phase) => phase === row.phase)) return undefined
  const pod = podOf(row)
  if (row.images.length === 0) {
    enter(podId, 'fetching', parts)
    await fetchImages(row, pod, sources, parts)
    enter(podId, 'opening', parts)
    await images.whileOpening(async () => {
      const names = await intake.open(podId, pod, { signal })
      signal.throwIfAborted()
      journal.change(podId, { images: names })
    })
  }
  await charger.requireOpen(podId, signal)
  enter(podId, 'starting', parts)
  const observed = await runtime.apply(toPodSpec(pod, journal.pod(podId) ?? row), { signal })
  await requireStarted(observed, pod, { runtime, signal })
  signal.throwIfAborted()
  return observed
}

function enter(podId: string, phase: Phase, { journal, changes, signal }: StartParts & { signal: AbortSignal }): void {
  signal.throwIfAborted()
  journal.advance(podId, STARTING_PHASES, phase)
  changes.notify(podId)
}

/** From whoever has them, over as many connections as it takes, until the grace is used up. */
async function fetchImages(
  row: PodRow,
  pod: Pod,
  sources: Sources,
  parts: StartParts & { signal: AbortSignal },
): Promise<void> {
  const { podId } = row
  const { journal, intake, log, signal } = parts
  const quotedBytes = quotedImageBytes(row)
  const onProgress = tellProgress(podId, quotedBytes, parts)
  const patience = { leftMs: parts.publisherGraceMs, retryMs: intake.hasSources(pod) ? RETRY_MS : undefined }
  for (;;) {
    const connection = liveConnection(podId, sources)
    try {
      const fetchedBytes = await intake.fetch(podId, pod, {
        ...(connection && { connection }),
        quotedBytes,
        signal,
        onProgress,
      })
      return journal.change(podId, { fetchedBytes })
    } catch (error) {
      // With a publisher that was there all the time, waiting for it changes nothing.
      if (signal.aborted || (connection && !(await isLost(connection, signal)))) throw error
      log.info('publisher lost while fetching', { pod: podId, reason: String(error) })
      await awaitPublisher(podId, sources, { ...parts, patience, lastError: error })
    }
  }
}

/** Durable and told to whoever watches once a second, to the log every ten: a block comes every few milliseconds. */
function tellProgress(
  podId: string,
  totalBytes: number,
  { journal, changes, log }: StartParts,
): (heldBytes: number) => void {
  let last = { toldAt: Number.NEGATIVE_INFINITY, loggedAt: performance.now(), heldBytes: 0 }
  return (fetchedBytes) => {
    const now = performance.now()
    if (now - last.toldAt < TELL_INTERVAL_MS) return
    journal.change(podId, { fetchedBytes })
    changes.notify(podId)
    last = { ...last, toldAt: now }
    if (now - last.loggedAt < LOG_INTERVAL_MS) return
    const bytesPerSecond = Math.round(((fetchedBytes - last.heldBytes) * 1000) / (now - last.loggedAt))
    log.info('fetching images', { pod: podId, fetchedBytes, totalBytes, bytesPerSecond })
    last = { toldAt: now, loggedAt: now, heldBytes: fetchedBytes }
  }
}

/** Its streams end some turns before the connection itself knows that it is lost. */
async function isLost(connection: Connection, signal: AbortSignal): Promise<boolean> {
  if (connection.status !== 'open') return true
  const known = new AbortController()
  const onClose = () => known.abort()
  connection.addEventListener('close', onClose, { once: true })
  await pause(LOSS_MS, AbortSignal.any([known.signal, signal]))
  connection.removeEventListener('close', onClose)
  return known.signal.aborted
}

function liveConnection(podId: string, sources: Sources): Connection | undefined {
  const connection = sources.get(podId)
  return connection?.status === 'open' ? connection : undefined
}

interface Patience {
  leftMs: number
  /** After that long others are asked again although the publisher has not come. */
  readonly retryMs: number | undefined
}

/** @throws TrustedPodsError PROVISION_IMAGE_FETCH once the grace is used up, with why the others could not help. */
async function awaitPublisher(
  podId: string,
  sources: Sources,
  {
    changes,
    signal,
    patience,
    lastError,
  }: StartParts & { signal: AbortSignal; patience: Patience; lastError: unknown },
): Promise<void> {
  const untilRetry = { leftMs: patience.retryMs ?? Number.POSITIVE_INFINITY }
  for (;;) {
    const timeoutMs = Math.max(0, Math.min(patience.leftMs, untilRetry.leftMs))
    const next = changes.next(podId, { timeoutMs, signal })
    if (liveConnection(podId, sources)) return
    if (patience.leftMs <= 0) throw publisherGone(patience, lastError)
    const began = performance.now()
    await next
    const waitedMs = performance.now() - began
    patience.leftMs -= waitedMs
    untilRetry.leftMs -= waitedMs
    signal.throwIfAborted()
    if (untilRetry.leftMs <= 0) return
  }
}

function publisherGone({ retryMs }: Patience, lastError: unknown): TrustedPodsError {
  const why = retryMs !== undefined && lastError instanceof Error ? `: ${lastError.message}` : ''
  return new TrustedPodsError('PROVISION_IMAGE_FETCH', `the publisher went away before its images were fetched${why}`, {
    cause: lastError,
  })
}
