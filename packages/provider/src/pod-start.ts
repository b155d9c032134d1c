/** A pod on its way to running: images fetched, opened, containers started, ports open. Each phase is written before it is acted on. */
import type { Connection } from '@libp2p/interface'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import type { Changes } from './changes.ts'
import type { Charger } from './charger.ts'
import type { ImageGate } from './image-gate.ts'
import type { ImageIntake } from './image-intake.ts'
import type { Journal } from './journal.ts'
import { type Phase, podOf, STARTING_PHASES } from './pod-row.ts'
import { toPodSpec } from './pod-spec.ts'
import { requireStarted } from './readiness.ts'
import type { PodObservation, PodRuntime } from './runtime/pod-runtime.ts'

export interface StartParts {
  readonly journal: Journal
  readonly runtime: PodRuntime
  readonly intake: Pick<ImageIntake, 'fetch' | 'open'>
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
    await fetchImages(podId, pod, sources, parts)
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

/** Over as many connections as it takes, until the grace is used up. */
async function fetchImages(
  podId: string,
  pod: Pod,
  sources: Sources,
  parts: StartParts & { signal: AbortSignal },
): Promise<void> {
  const { journal, intake, changes, log, signal } = parts
  const patience = { leftMs: parts.publisherGraceMs }
  const onProgress = (fetchedBytes: number) => {
    journal.change(podId, { fetchedBytes })
    changes.notify(podId)
  }
  for (;;) {
    const connection = await findSource(podId, sources, { ...parts, patience })
    try {
      return await intake.fetch(podId, pod, { connection, signal, onProgress })
    } catch (error) {
      if (signal.aborted || connection.status === 'open') throw error
      log.info('publisher lost while fetching', { pod: podId, reason: String(error) })
    }
  }
}

async function findSource(
  podId: string,
  sources: Sources,
  { changes, signal, patience }: StartParts & { signal: AbortSignal; patience: { leftMs: number } },
): Promise<Connection> {
  for (;;) {
    const next = changes.next(podId, { timeoutMs: Math.max(0, patience.leftMs), signal })
    const connection = sources.get(podId)
    if (connection?.status === 'open') return connection
    if (patience.leftMs <= 0)
      throw new TrustedPodsError('PROVISION_IMAGE_FETCH', 'the publisher went away before its images were fetched')
    const began = performance.now()
    await next
    patience.leftMs -= performance.now() - began
    signal.throwIfAborted()
  }
}
