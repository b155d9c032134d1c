/** When a pod counts as running: no container has exited in the first second, and each HTTP port accepts connections. */
import { connect } from 'node:net'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { pause } from '@trusted-pods/protocol/pause.ts'
import { httpRoutes } from './pod-spec.ts'
import type { PodObservation, PodRuntime } from './runtime/pod-runtime.ts'

/** Time for a server to open its port; slower ones exist, but a publisher waits for an answer. */
const READY_TIMEOUT_MS = 60_000
const PROBE_INTERVAL_MS = 150
/** A program that cannot start is usually gone by then. */
const SETTLE_MS = 1_000

/** @throws TrustedPodsError PROVISION_CONTAINER_EXITED, or PROVISION_RUNTIME when a port stays closed. */
export async function requireStarted(
  observed: PodObservation,
  pod: Pod,
  { runtime, signal }: { runtime: PodRuntime; signal: AbortSignal },
): Promise<void> {
  const began = performance.now()
  const until = began + READY_TIMEOUT_MS
  let current: PodObservation | undefined = observed
  for (;;) {
    requireNoneExited(current)
    const closed = await closedPorts(current, pod)
    if (closed.length === 0 && performance.now() - began >= SETTLE_MS) return
    if (closed.length > 0 && performance.now() > until)
      throw new TrustedPodsError(
        'PROVISION_RUNTIME',
        `${closed.join(', ')} did not open within ${READY_TIMEOUT_MS / 1000} s`,
      )
    await pause(PROBE_INTERVAL_MS, signal)
    signal.throwIfAborted()
    current = (await runtime.observe(observed.podId, { signal })) ?? current
  }
}

function requireNoneExited({ containers }: PodObservation): void {
  const exited = containers.find(({ state }) => state === 'exited')
  if (exited)
    throw new TrustedPodsError(
      'PROVISION_CONTAINER_EXITED',
      `container ${exited.name} exited with code ${exited.exitCode ?? 'unknown'} while the pod was starting`,
    )
}

async function closedPorts({ address }: PodObservation, pod: Pod): Promise<string[]> {
  const closed: string[] = []
  for (const { container, targetPort } of httpRoutes(pod)) {
    if (!address || !(await accepts(address, targetPort))) closed.push(`port ${targetPort} of ${container}`)
  }
  return closed
}

function accepts(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host, port, timeout: 2_000 })
  socket.once('connect', () => resolve(true))
  socket.once('timeout', () => resolve(false))
  socket.once('error', () => resolve(false))
  return promise.finally(() => socket.destroy())
}
