/**
 * What the provider asks of whatever runs containers. Docker is one implementation, Kubernetes can be the next without a
 * change above: the caller states what should be, level-triggered, and observes what is. Spec: docs/architecture.md.
 */
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'

/** Name of an imported image inside the runtime; made by the runtime, by content, under a private prefix. */
export type ImageRef = string & { readonly brand: 'ImageRef' }

export interface VolumeSpec {
  readonly kind: 'volume' | 'empty-dir' | 'secret'
  /** Of its file system where the runtime's `volumeLimits` are enforced; 0 for a secret. */
  readonly sizeBytes: bigint
  /** One file's content, for a secret. */
  readonly secret?: Uint8Array
}

export interface PortSpec {
  readonly port: number
  readonly targetPort: number
  readonly protocol: 'tcp' | 'udp'
  readonly hostIp: string
  /** Served by the HTTP front: not published. */
  readonly httpHost: string
}

export interface ContainerSpec {
  readonly name: string
  readonly image: ImageRef
  /** Empty: what the image says. */
  readonly command: readonly string[]
  readonly args: readonly string[]
  readonly workingDir: string
  readonly env: readonly { readonly name: string; readonly value: string }[]
  readonly mounts: readonly { readonly volume: number; readonly mountPath: string; readonly readOnly: boolean }[]
  readonly ports: readonly PortSpec[]
  readonly cpuMillis: bigint
  readonly memoryBytes: bigint
  readonly gpus: number
  /** The GPUs that this pod and no other was given, `gpus` of them; a container without them gets none. */
  readonly devices?: readonly DeviceAccess[]
}

/** How an engine hands a device over. */
export type DeviceAccess =
  /** To the `nvidia` driver, by index or UUID. */
  | { readonly kind: 'nvidia'; readonly id: string }
  /** By its qualified name of the Container Device Interface. */
  | { readonly kind: 'cdi'; readonly name: string }
  /** As these device nodes, under the same paths, and those that all devices of a driver share. */
  | { readonly kind: 'nodes'; readonly paths: readonly string[]; readonly control: readonly string[] }

/** A pod as it should be. */
export interface PodSpec {
  /** Lower-case hex of the 32-byte pod id. */
  readonly podId: string
  readonly containers: readonly ContainerSpec[]
  readonly volumes: readonly VolumeSpec[]
}

export interface ContainerObservation {
  readonly name: string
  /** unknown: the runtime could not say, which is never "no". */
  readonly state: 'unknown' | 'created' | 'running' | 'exited'
  readonly exitCode?: number
  readonly restarts: number
}

/** A pod as it is. */
export interface PodObservation {
  readonly podId: string
  readonly containers: readonly ContainerObservation[]
  /** Address that the HTTP front and readiness checks reach the pod at; absent while it has none. */
  readonly address?: string
  /** Ports published on the host, once they are. */
  readonly published: readonly {
    readonly container: string
    readonly targetPort: number
    readonly protocol: 'tcp' | 'udp'
    readonly hostIp: string
    readonly hostPort: number
  }[]
}

export interface RuntimeLogLine {
  readonly container: string
  readonly timeNs: bigint
  readonly stderr: boolean
  readonly text: Uint8Array
}

export interface LogOptions {
  /** Container name; absent: all. */
  readonly container?: string
  readonly follow: boolean
  /** Last lines of each container; absent: all that are kept. */
  readonly tail?: number
  readonly signal?: AbortSignal
}

/** Counters since the pod was made; absent where the runtime cannot tell. */
export interface PodUsage {
  readonly cpuMicros?: bigint
  readonly memoryPeakBytes?: bigint
}

/** Bytes since counting began, which `epoch` names: under another one they count from nothing. */
export interface TrafficReading {
  readonly epoch: string
  /** Sent by the pod. */
  readonly egressBytes: bigint
  readonly ingressBytes: bigint
}

export interface RuntimeDescription {
  readonly engine: string
  readonly version: string
  readonly sandbox: 'runc' | 'runsc'
  /** none: pods reach this host, its local networks and each other. */
  readonly firewall: 'nftables' | 'none'
  /** none: a pod can fill the engine's disk through a volume of any size. */
  readonly volumeLimits: 'enforced' | 'none'
  /** none: nobody knows what a pod sends and receives. */
  readonly traffic: 'counted' | 'none'
  readonly cpuMillis: bigint
  readonly memoryBytes: bigint
}

export interface PodRuntime {
  describe(options?: { signal?: AbortSignal }): Promise<RuntimeDescription>
  /** Takes a verified image in; again at once when it is there already under our name. */
  importImage(image: OpenedImage, options?: { signal?: AbortSignal }): Promise<ImageRef>
  /** Removes images of ours that no pod in `keep` uses. */
  pruneImages(keep: ReadonlySet<ImageRef>, options?: { signal?: AbortSignal }): Promise<void>
  /** Brings the pod to what `spec` says and returns once every container was started and inspected; safe to repeat.
   * @throws TrustedPodsError PROVISION_RUNTIME_MISMATCH when the engine dropped a limit or the sandbox. */
  apply(spec: PodSpec, options?: { signal?: AbortSignal }): Promise<PodObservation>
  /** undefined: there is no such pod. Throws when the runtime cannot be asked. */
  observe(podId: string, options?: { signal?: AbortSignal }): Promise<PodObservation | undefined>
  /** Every pod of this provider that the runtime holds any part of. */
  list(options?: { signal?: AbortSignal }): Promise<readonly PodObservation[]>
  /** Yields a change (a container started, died, was removed) as a hint to observe again. */
  watch(options: { signal: AbortSignal }): AsyncIterable<{ readonly podId: string }>
  logs(podId: string, options: LogOptions): AsyncIterable<RuntimeLogLine>
  usage(podId: string, options?: { signal?: AbortSignal }): Promise<PodUsage>
  /** What the pod has sent and received; readable until its volumes are removed too. undefined: traffic is not counted here. */
  traffic(podId: string): Promise<TrafficReading | undefined>
  /** Lets nothing in or out of the pod until it is opened again; safe to repeat. Without counted traffic it does nothing. */
  setNetwork(podId: string, options: { isOpen: boolean }): Promise<void>
  /** Ends the containers and removes all of the pod; `volumes` too. Safe to repeat. */
  remove(podId: string, options: { volumes: boolean; signal?: AbortSignal }): Promise<void>
}
