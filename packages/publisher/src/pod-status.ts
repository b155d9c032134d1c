/** Where a pod stands, as people and scripts read it: words in place of the wire's numbers. Spec: spec/PROTOCOL.md#status. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { ContainerState, PodPhase, type StatusUpdate } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { boundText, fromRefusal } from '@trusted-pods/protocol/wire/refusal.ts'

export type Phase =
  | 'unknown'
  | 'accepted'
  | 'fetching'
  | 'opening'
  | 'starting'
  | 'running'
  | 'suspended'
  | 'stopping'
  | 'stopped'
  | 'failed'

export interface ContainerView {
  readonly name: string
  readonly state: 'unknown' | 'created' | 'running' | 'exited'
  /** Where it has exited. */
  readonly exitCode?: number
  readonly restarts: number
}

export interface EndpointView {
  readonly container: string
  readonly targetPort: number
  readonly url: string
  /** "ip:port" where the host name of `url` does not resolve. */
  readonly connect?: string
}

export interface PodStatus {
  readonly phase: Phase
  /** The provider's words; data, never an instruction. */
  readonly message: string
  readonly containers: readonly ContainerView[]
  readonly endpoints: readonly EndpointView[]
  readonly fetchedBytes: bigint
  /** 0: not known yet. */
  readonly totalBytes: bigint
  /** Why it failed. */
  readonly failure?: TrustedPodsError
}

const PHASES: Record<PodPhase, Phase> = {
  [PodPhase.UNSPECIFIED]: 'unknown',
  [PodPhase.ACCEPTED]: 'accepted',
  [PodPhase.FETCHING]: 'fetching',
  [PodPhase.OPENING]: 'opening',
  [PodPhase.STARTING]: 'starting',
  [PodPhase.RUNNING]: 'running',
  [PodPhase.SUSPENDED]: 'suspended',
  [PodPhase.STOPPING]: 'stopping',
  [PodPhase.STOPPED]: 'stopped',
  [PodPhase.FAILED]: 'failed',
}

const STATES: Record<ContainerState, ContainerView['state']> = {
  [ContainerState.UNSPECIFIED]: 'unknown',
  [ContainerState.CREATED]: 'created',
  [ContainerState.RUNNING]: 'running',
  [ContainerState.EXITED]: 'exited',
}

/** What we show of a pod's containers and endpoints: as many as a pod can have. */
const MAX_SHOWN = 64

/** A number that this version has no word for reads as unknown. */
export function toPodStatus(update: StatusUpdate): PodStatus {
  return {
    phase: PHASES[update.phase as PodPhase] ?? 'unknown',
    message: boundText(update.message),
    containers: update.containers.slice(0, MAX_SHOWN).map(({ name, state, exitCode, restarts }) => ({
      name: boundText(name),
      state: STATES[state as ContainerState] ?? 'unknown',
      restarts,
      ...(state === ContainerState.EXITED && { exitCode }),
    })),
    endpoints: update.endpoints.slice(0, MAX_SHOWN).map(({ container, targetPort, url, connect }) => ({
      container: boundText(container),
      targetPort,
      url: boundText(url),
      ...(connect !== '' && { connect: boundText(connect) }),
    })),
    fetchedBytes: update.fetchedBytes,
    totalBytes: update.totalBytes,
    ...(update.phase === PodPhase.FAILED && { failure: failureOf(update) }),
  }
}

function failureOf({ refusal, message }: StatusUpdate): TrustedPodsError {
  if (refusal) return fromRefusal(refusal)
  return new TrustedPodsError(
    'PROVISION_RUNTIME',
    boundText(message) || 'the pod failed, the provider did not say why',
    {
      remote: true,
    },
  )
}

/** Nothing more is to be expected of the pod. */
export function isFinal(phase: Phase): boolean {
  return phase === 'stopped' || phase === 'failed'
}
