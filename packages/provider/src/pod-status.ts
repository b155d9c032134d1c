/** What a publisher is told of its pod: the journal's phase and the runtime's view, as one message. Spec: spec/PROTOCOL.md#status. */
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { isErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type FundsSchema, ReceiptSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import {
  ContainerState,
  type Endpoint,
  EndpointSchema,
  PodPhase,
  type StatusUpdateSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { STATUS_INTERVAL_MS } from '@trusted-pods/protocol/wire/protocols.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Changes } from './changes.ts'
import type { Journal } from './journal.ts'
import type { Phase, PodRow } from './pod-row.ts'
import { httpRoutes } from './pod-spec.ts'
import { quotedImageBytes } from './quoted.ts'
import type { ContainerObservation, PodObservation, PodRuntime } from './runtime/pod-runtime.ts'

export interface StatusParts {
  readonly journal: Journal
  readonly runtime: PodRuntime
  readonly changes: Changes
  /** How long a pod's deposit lasts. */
  funds(row: PodRow): MessageInitShape<typeof FundsSchema>
  /** "ip:port" of the HTTP front. */
  readonly frontAddress: string
}

type Update = MessageInitShape<typeof StatusUpdateSchema>

const PHASES: Record<Phase, PodPhase> = {
  accepted: PodPhase.ACCEPTED,
  fetching: PodPhase.FETCHING,
  opening: PodPhase.OPENING,
  starting: PodPhase.STARTING,
  running: PodPhase.RUNNING,
  suspended: PodPhase.SUSPENDED,
  stopping: PodPhase.STOPPING,
  stopped: PodPhase.STOPPED,
  failed: PodPhase.FAILED,
}

const STATES: Record<ContainerObservation['state'], ContainerState> = {
  unknown: ContainerState.UNSPECIFIED,
  created: ContainerState.CREATED,
  running: ContainerState.RUNNING,
  exited: ContainerState.EXITED,
}

/** Each state of the pod as it changes, at least every STATUS_INTERVAL_MS, until `isLast` says so or the pod has ended. */
export async function* followStatus(
  podId: string,
  parts: StatusParts,
  { signal, isLast }: { signal: AbortSignal; isLast: (phase: Phase) => boolean },
): AsyncGenerator<Update> {
  for (let sequence = 1n; !signal.aborted; sequence++) {
    const next = parts.changes.next(podId, { timeoutMs: STATUS_INTERVAL_MS, signal })
    const row = parts.journal.pod(podId)
    if (!row) return
    yield { ...(await describe(row, parts)), sequence }
    if (row.phase === 'stopped' || row.phase === 'failed' || isLast(row.phase)) return
    await next
  }
}

async function describe(row: PodRow, parts: StatusParts): Promise<Update> {
  const pod = row.pod && fromBinary(PodSchema, row.pod)
  const observed = row.phase === 'running' ? await observe(row.podId, parts.runtime) : undefined
  const receipt = parts.journal.lastReceipt(row.podId)
  return {
    phase: PHASES[row.phase],
    podId: fromHex(row.termsPodId) ?? new Uint8Array(),
    message: row.reason?.message ?? '',
    containers: pod && observed ? containersOf(pod, observed) : [],
    endpoints: pod && observed ? endpointsOf(pod, observed, parts.frontAddress) : [],
    ...(row.phase === 'failed' && row.reason && { refusal: refusalOf(row.reason) }),
    fetchedBytes: BigInt(row.fetchedBytes),
    totalBytes: BigInt(quotedImageBytes(row)),
    ...((row.phase === 'running' || row.phase === 'suspended') && { funds: parts.funds(row) }),
    ...(receipt && { receipt: fromBinary(ReceiptSchema, receipt.receipt) }),
  }
}

/** A runtime that cannot be asked leaves the containers out: unknown, never "no". */
async function observe(podId: string, runtime: PodRuntime): Promise<PodObservation | undefined> {
  try {
    return await runtime.observe(podId)
  } catch {
    return undefined
  }
}

/** In the manifest's order. */
function containersOf(pod: Pod, observed: PodObservation) {
  const order = new Map(pod.containers.map(({ name }, i) => [name, i]))
  const place = ({ name }: ContainerObservation) => order.get(name) ?? order.size
  return observed.containers
    .toSorted((a, b) => place(a) - place(b))
    .map(({ name, state, exitCode, restarts }) => ({ name, state: STATES[state], exitCode: exitCode ?? 0, restarts }))
}

function endpointsOf(pod: Pod, { published }: PodObservation, frontAddress: string): Endpoint[] {
  const frontPort = frontAddress.slice(frontAddress.lastIndexOf(':'))
  const http = httpRoutes(pod).map(({ host, targetPort, container }) =>
    create(EndpointSchema, { container, targetPort, url: `http://${host}${frontPort}`, connect: frontAddress }),
  )
  const raw = published.map(({ container, targetPort, protocol, hostIp, hostPort }) =>
    create(EndpointSchema, { container, targetPort, url: `${protocol}://${hostIp}:${hostPort}` }),
  )
  return [...http, ...raw]
}

function refusalOf({ code, message }: { code: string; message: string }) {
  return toRefusal(new TrustedPodsError(isErrorCode(code) ? code : 'WIRE_INTERNAL', message))
}
