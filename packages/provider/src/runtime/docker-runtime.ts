/** Pods on one machine through a container engine (Docker, Podman). I/O. Spec: docs/runtime.md. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { containerEvents } from '@trusted-pods/platform/engine/events.ts'
import { removeImage } from '@trusted-pods/platform/engine/images.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { applyPod } from './apply-pod.ts'
import { type EngineFacts, readEngineFacts } from './engine-facts.ts'
import { imageRepository, importImage, infraRepository, loadInfraImage, pruneImages } from './image-import.ts'
import { findParts, listPodIds, observePod } from './observe-pod.ts'
import { cgroupParentOf, readUsage } from './pod-cgroup.ts'
import { podLogs } from './pod-logs.ts'
import { isPodId, NAME_LABEL, OWNER_LABEL, POD_LABEL } from './pod-names.ts'
import type {
  ImageRef,
  LogOptions,
  PodObservation,
  PodRuntime,
  PodSpec,
  PodUsage,
  RuntimeDescription,
  RuntimeLogLine,
  TrafficReading,
} from './pod-runtime.ts'
import { PodTraffic } from './pod-traffic.ts'
import { removePod } from './remove-pod.ts'
import { SerialQueue } from './serial-queue.ts'
import { formatSubnet, parseSubnet, type Subnet } from './subnet.ts'
import { type Firewall, setFirewall } from './tenant-firewall.ts'
import { openVolumeDisks, type VolumeDisks } from './volume-disks.ts'

/** A /16 that neither Docker's defaults nor the usual home, office and VPN networks take. */
const POD_NETWORK = '10.213.0.0/16'

/** Public resolvers that keep no personal data and filter nothing by default: the machine's own are out of pods' reach. */
const DNS = ['1.1.1.1', '9.9.9.9']

/** 1 s before the engine's events are asked for again after it went away. */
const WATCH_RETRY_MS = 1_000

/** Changes that move a container to another state. */
const STATE_ACTIONS: ReadonlySet<string> = new Set(['start', 'die', 'destroy', 'oom', 'pause', 'unpause'])

export interface DockerRuntimeOptions {
  /** Names this provider in the engine: only objects with it are seen or touched. [a-z0-9][a-z0-9-]{0,39} */
  readonly owner: string
  readonly log: Logger
  /** Absent: runc. */
  readonly sandbox?: 'runc' | 'runsc'
  /** IPv4 network in CIDR notation from which each pod gets a /28. Absent: 10.213.0.0/16. */
  readonly podNetwork?: string
  /** Resolvers of the pods. Absent: two public ones. */
  readonly dns?: readonly string[]
  readonly signal?: AbortSignal | undefined
}

/** Takes up what pods the engine has of this owner. Disposing leaves them as they are; the firewall goes with the last one.
 * @throws TrustedPodsError PLATFORM_CONFIG for an owner or network that cannot be, or a sandbox that the engine lacks. */
export async function openDockerRuntime(
  engine: Engine,
  options: DockerRuntimeOptions,
): Promise<PodRuntime & AsyncDisposable> {
  const { owner, log, signal, sandbox = 'runc', podNetwork: network = POD_NETWORK } = options
  const podNetwork = requireOptions(owner, network)
  const facts = await readEngineFacts(engine, { signal })
  if (sandbox === 'runsc' && !facts.runtimes.includes('runsc')) {
    throw new TrustedPodsError(
      'PLATFORM_CONFIG',
      `the engine has the runtimes ${facts.runtimes.join(', ')}, runsc is wanted: install gVisor's runsc and add it to the engine`,
    )
  }
  const infraImage = await loadInfraImage(engine, process.arch, { repository: infraRepository(owner), signal })
  const firewall = await setFirewall(owner, formatSubnet(podNetwork))
  if (!firewall) log.warn('nft is missing: pods reach this host and its local networks, and may not reach the internet')
  const traffic = await PodTraffic.open(owner)
  const disks = await openVolumeDisks(engine, facts)
  if ('obstacle' in disks) log.warn('volumes have no limit of their size', disks)
  if (sandbox === 'runc') log.warn('pods run under runc: they share this kernel')
  return new DockerRuntime({
    engine,
    facts,
    firewall,
    traffic,
    disks: 'obstacle' in disks ? undefined : disks,
    podNetwork,
    infraImage,
    owner,
    log,
    sandbox,
    dns: options.dns ?? DNS,
  })
}

function requireOptions(owner: string, network: string): Subnet {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(owner)) {
    throw new TrustedPodsError(
      'PLATFORM_CONFIG',
      `the owner is "${owner.slice(0, 80)}", 1 to 40 of a-z, 0-9 and - are wanted`,
    )
  }
  const subnet = parseSubnet(network)
  if (subnet && subnet.prefix <= 28 && subnet.prefix >= 8) return subnet
  throw new TrustedPodsError(
    'PLATFORM_CONFIG',
    `the pod network is "${network.slice(0, 40)}", IPv4 in CIDR notation from /8 to /28 is wanted`,
  )
}

interface RuntimeParts {
  readonly engine: Engine
  readonly facts: EngineFacts
  readonly firewall: Firewall | undefined
  readonly traffic: PodTraffic | undefined
  readonly disks: VolumeDisks | undefined
  readonly podNetwork: Subnet
  readonly infraImage: string
  readonly owner: string
  readonly log: Logger
  readonly sandbox: 'runc' | 'runsc'
  readonly dns: readonly string[]
}

class DockerRuntime implements PodRuntime, AsyncDisposable {
  readonly #parts: RuntimeParts
  /** Applies and removals of one pod follow each other. */
  readonly #queue = new SerialQueue()
  /** Starts beyond the first, by container id; since this process came up. */
  readonly #restarts = new Map<string, number>()
  readonly #userIds = new Map<string, number>()
  /** Longest free first; no more than the pod network has. */
  readonly #freedSubnets = new Set<string>()

  /** A table of counters that is another than before: somebody has flushed the ruleset, and the firewall with it. */
  #countedSince: string | undefined

  constructor(parts: RuntimeParts) {
    this.#parts = parts
  }

  async describe({ signal }: { signal?: AbortSignal } = {}): Promise<RuntimeDescription> {
    const { engine, sandbox } = this.#parts
    const { cpuMillis, memoryBytes } = await readEngineFacts(engine, { signal })
    const firewall = this.#parts.firewall ? 'nftables' : 'none'
    const volumeLimits = this.#parts.disks ? 'enforced' : 'none'
    const traffic = this.#parts.traffic ? 'counted' : 'none'
    const { name, version } = engine
    return { engine: name, version, sandbox, firewall, volumeLimits, traffic, cpuMillis, memoryBytes }
  }

  importImage(image: OpenedImage, { signal }: { signal?: AbortSignal } = {}): Promise<ImageRef> {
    const { engine, owner } = this.#parts
    return this.#queue.run(image.digest, () =>
      importImage(engine, image, { repository: imageRepository(owner), signal }),
    )
  }

  pruneImages(keep: ReadonlySet<ImageRef>, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const { engine, owner } = this.#parts
    return pruneImages(engine, keep, { repository: imageRepository(owner), signal })
  }

  async apply(pod: PodSpec, { signal }: { signal?: AbortSignal } = {}): Promise<PodObservation> {
    requirePodId(pod.podId)
    return this.#queue.run(pod.podId, () => this.#apply(pod, signal))
  }

  observe(podId: string, { signal }: { signal?: AbortSignal } = {}): Promise<PodObservation | undefined> {
    const { engine, owner } = this.#parts
    return observePod(engine, podId, { owner, restarts: this.#restarts, signal })
  }

  async list({ signal }: { signal?: AbortSignal } = {}): Promise<readonly PodObservation[]> {
    const { engine, owner } = this.#parts
    const podIds = await listPodIds(engine, { owner, signal })
    const pods = await Promise.all(
      podIds.map((podId) => observePod(engine, podId, { owner, restarts: this.#restarts, signal })),
    )
    return pods.filter((pod) => pod !== undefined)
  }

  /** Events are lost while the engine is away: every pod is a hint then. */
  async *watch({ signal }: { signal: AbortSignal }): AsyncGenerator<{ readonly podId: string }> {
    const { engine, owner, log } = this.#parts
    while (!signal.aborted) {
      try {
        for await (const { action, attributes } of containerEvents(engine, { [OWNER_LABEL]: owner }, { signal })) {
          const podId = attributes[POD_LABEL] ?? ''
          if (STATE_ACTIONS.has(action) && isPodId(podId)) yield { podId }
        }
      } catch (error) {
        if (signal.aborted) return
        log.warn('the engine is away: its events are asked for again', { error: String(error) })
      }
      // A watch that is ended waits no longer.
      await sleep(WATCH_RETRY_MS, undefined, { signal }).catch(() => {})
      const podIds = await listPodIds(engine, { owner, signal }).catch(() => [])
      for (const podId of podIds) yield { podId }
    }
  }

  async *logs(podId: string, { container, ...query }: LogOptions): AsyncGenerator<RuntimeLogLine> {
    const { engine, owner } = this.#parts
    const { members } = await findParts(engine, podId, { owner, signal: query.signal })
    const sources = members.map(({ id, labels }) => ({ id, name: labels[NAME_LABEL] ?? '' }))
    const chosen = sources.filter(({ name }) => container === undefined || name === container)
    if (chosen.length === 0) {
      const [code, wanted] =
        sources.length === 0
          ? (['STATUS_UNKNOWN_POD', podId] as const)
          : (['STATUS_UNKNOWN_CONTAINER', container] as const)
      throw new TrustedPodsError(code, `the engine has no container of ${wanted?.slice(0, 80)}`)
    }
    yield* podLogs(engine, chosen, query)
  }

  async usage(podId: string): Promise<PodUsage> {
    const parent = this.#cgroupParent(podId)
    return parent === undefined ? {} : readUsage(parent)
  }

  async traffic(podId: string): Promise<TrafficReading | undefined> {
    const { traffic, owner, podNetwork, log } = this.#parts
    const reading = await traffic?.read(podId)
    if (reading === undefined) return undefined
    const isNew = this.#countedSince !== undefined && this.#countedSince !== reading.epoch
    this.#countedSince = reading.epoch
    if (isNew) {
      log.error('the tables of nft were taken away: they are set again')
      await setFirewall(owner, formatSubnet(podNetwork))
    }
    return reading
  }

  async setNetwork(podId: string, { isOpen }: { isOpen: boolean }): Promise<void> {
    await this.#parts.traffic?.setOpen(podId, isOpen)
  }

  async remove(podId: string, { volumes, signal }: { volumes: boolean; signal?: AbortSignal }): Promise<void> {
    requirePodId(podId)
    return this.#queue.run(podId, () => this.#remove(podId, { volumes, signal }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { engine, firewall, traffic, infraImage, log } = this.#parts
    // An engine that does not answer may still hold pods: the firewall stays.
    const isEmpty = await this.list().then(
      (pods) => pods.length === 0,
      () => false,
    )
    if (!isEmpty) return log.info('pods left running', { firewall: firewall?.table })
    await firewall?.remove()
    await traffic?.remove()
    await removeImage(engine, infraImage)
  }

  async #apply(pod: PodSpec, signal: AbortSignal | undefined): Promise<PodObservation> {
    const { engine, ...parts } = this.#parts
    const { podId } = pod
    try {
      const cgroupParent = this.#cgroupParent(podId)
      const context = {
        ...parts,
        cgroupParent,
        imageRepository: imageRepository(parts.owner),
        restarts: this.#restarts,
        userIds: this.#userIds,
        freedSubnets: this.#freedSubnets,
        prepare: () => this.#prepare(signal),
        signal,
      }
      await applyPod(engine, pod, context)
    } catch (error) {
      if (error instanceof TrustedPodsError && error.code === 'PROVISION_RUNTIME_MISMATCH') {
        await this.#remove(podId, { volumes: false })
      }
      parts.log.error('pod not made', { pod: podId, reason: error instanceof Error ? error.message : String(error) })
      throw asProvisionError(error)
    }
    const observed = await this.observe(podId, { ...(signal && { signal }) })
    if (observed) return observed
    throw new TrustedPodsError('PROVISION_RUNTIME', `pod ${podId.slice(0, 16)} was removed while it was made`)
  }

  async #prepare(signal: AbortSignal | undefined): Promise<void> {
    const { engine, owner, podNetwork } = this.#parts
    const firewall = await setFirewall(owner, formatSubnet(podNetwork))
    if (this.#parts.firewall && !firewall) {
      throw new TrustedPodsError('PROVISION_RUNTIME', 'nft was here when the provider started and is not any more')
    }
    await this.#parts.traffic?.ensure()
    await loadInfraImage(engine, process.arch, { repository: infraRepository(owner), signal })
  }

  async #remove(podId: string, options: { volumes: boolean; signal?: AbortSignal | undefined }): Promise<void> {
    const { engine, owner, disks } = this.#parts
    const cgroupParent = this.#cgroupParent(podId)
    await removePod(engine, podId, { owner, cgroupParent, disks, freedSubnets: this.#freedSubnets, ...options })
    if (options.volumes) await this.#parts.traffic?.forget(podId)
  }

  #cgroupParent(podId: string): string | undefined {
    return cgroupParentOf(this.#parts.owner, podId, this.#parts.facts.cgroups)
  }
}

function requirePodId(podId: string): void {
  if (isPodId(podId)) return
  throw new TrustedPodsError(
    'PROVISION_BAD_POD',
    `the pod id is "${podId.slice(0, 80)}", 64 lower-case hex digits are wanted`,
  )
}

/** What the engine said of our requests is for the provider's own log, as the cause; the publisher learns that it failed. */
function asProvisionError(error: unknown): unknown {
  if (!(error instanceof TrustedPodsError) || error.code !== 'PLATFORM_ENGINE_FAILED') return error
  return new TrustedPodsError('PROVISION_RUNTIME', 'the container engine could not make the pod', { cause: error })
}
