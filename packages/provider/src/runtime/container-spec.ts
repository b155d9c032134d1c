/** A pod's containers as the engine's API wants them (ContainerCreate): every limit, every refusal of a right. Pure. */
import { createHash } from 'node:crypto'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { infraMountPath } from './infra-image.ts'
import {
  infraName,
  memberName,
  NAME_LABEL,
  networkName,
  PORT_LABEL,
  podLabels,
  SPEC_LABEL,
  volumeName,
} from './pod-names.ts'
import type { ContainerSpec, PodSpec } from './pod-runtime.ts'

/** 1024 processes and threads for a workload; what a runaway one may take of the machine's 32768. */
const MEMBER_PIDS = 1024

/** 64: gVisor's own threads count as the workload's. */
const RUNSC_PIDS = 64

/** The infra container is one process; runc's own start takes some threads and 6 MiB is the least that Docker takes. */
const INFRA_PIDS = 32
const INFRA_MEMORY_BYTES = 16 * 1024 * 1024
const INFRA_CPU_MILLIS = 100

/** Least that an engine can enforce: 0.01 of a CPU, 6 MiB. */
const LEAST_CPU_MILLIS = 10n
const LEAST_MEMORY_BYTES = 6n * 1024n * 1024n

/** Output kept of a container: two files of 4 MiB, so that it cannot fill the disk. Podman knows this driver too. */
const LOG_CONFIG = { Type: 'json-file', Config: { 'max-size': '4m', 'max-file': '2' } }

export interface RenderContext {
  readonly owner: string
  readonly sandbox: 'runc' | 'runsc'
  readonly dns: readonly string[]
  readonly infraImage: string
  /** Parent cgroup of this pod; absent where the engine's cgroup driver allows none. */
  readonly cgroupParent?: string | undefined
}

export interface RenderedContainer {
  readonly name: string
  /** Name within the pod; absent: infra. */
  readonly member?: string
  readonly body: { readonly Labels: Readonly<Record<string, string>>; readonly [key: string]: unknown }
}

/** What a member needs to know of the pod's other parts. */
export interface MemberContext extends RenderContext {
  readonly infraId: string
  /** Where the engine has the secret's file for this container, by volume index. */
  readonly secretFiles: ReadonlyMap<number, string>
}

/** The container that holds network, published ports, host names and secrets. Always under runc: it runs our own code. */
export function renderInfra(pod: PodSpec, context: RenderContext): RenderedContainer {
  const body = {
    Image: context.infraImage,
    Hostname: 'pod',
    ExposedPorts: Object.fromEntries(publishedPorts(pod).map(({ key }) => [key, {}])),
    HostConfig: {
      ...hardening(context),
      ReadonlyRootfs: true,
      Memory: INFRA_MEMORY_BYTES,
      MemorySwap: INFRA_MEMORY_BYTES,
      NanoCpus: INFRA_CPU_MILLIS * 1_000_000,
      PidsLimit: INFRA_PIDS,
      NetworkMode: networkName(pod.podId),
      Sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0' },
      Dns: context.dns,
      ExtraHosts: pod.containers.map(({ name }) => `${name}:127.0.0.1`),
      PortBindings: portBindings(pod),
      Mounts: pod.volumes.map((_, index) => volumeMount(pod.podId, index, infraMountPath(index))),
    },
  }
  const ports = Object.fromEntries(publishedPorts(pod).map(({ key, container }) => [PORT_LABEL + key, container]))
  return labelled(infraName(pod.podId), body, { ...podLabels(context.owner, pod.podId, 'infra'), ...ports })
}

/** @throws TrustedPodsError PROVISION_BAD_POD for limits that no engine can enforce, PROVISION_RUNTIME_MISMATCH for GPUs
 * that were not given to it one by one. */
export function renderMember(pod: PodSpec, spec: ContainerSpec, context: MemberContext): RenderedContainer {
  requireEnforceable(spec)
  const isSandboxed = context.sandbox === 'runsc'
  const body = {
    Image: spec.image,
    Env: containerEnv(spec),
    ...(spec.command.length > 0 && { Entrypoint: spec.command }),
    // An entrypoint of one's own must not be given the image's arguments.
    ...((spec.args.length > 0 || spec.command.length > 0) && { Cmd: spec.args }),
    ...(spec.workingDir !== '' && { WorkingDir: spec.workingDir }),
    HostConfig: {
      ...hardening(context),
      ...(isSandboxed && { Runtime: 'runsc' }),
      Memory: Number(spec.memoryBytes),
      MemorySwap: Number(spec.memoryBytes),
      NanoCpus: Number(spec.cpuMillis) * 1_000_000,
      PidsLimit: MEMBER_PIDS + (isSandboxed ? RUNSC_PIDS : 0),
      NetworkMode: `container:${context.infraId}`,
      Mounts: memberMounts(pod, spec, context),
      ...deviceAccess(spec),
    },
  }
  const labels = { ...podLabels(context.owner, pod.podId, 'member'), [NAME_LABEL]: spec.name }
  return { ...labelled(memberName(pod.podId, spec.name), body, labels), member: spec.name }
}

/**
 * Where NVIDIA's runtime is the engine's default one, this variable gives devices to whoever sets it, a manifest or an image. For a
 * container with such a device the driver sets it.
 */
const VISIBLE_DEVICES = 'NVIDIA_VISIBLE_DEVICES'

function containerEnv({ env, devices = [] }: ContainerSpec): string[] {
  const lines = env.filter(({ name }) => name !== VISIBLE_DEVICES).map(({ name, value }) => `${name}=${value}`)
  return devices.some(({ kind }) => kind === 'nvidia') ? lines : [...lines, `${VISIBLE_DEVICES}=void`]
}

/** By name: of a bare count the driver gives every container the same first ones. */
function deviceAccess({ name, gpus, devices = [] }: ContainerSpec): { DeviceRequests: object[]; Devices: object[] } {
  const names = devices.flatMap((device) => (device.kind === 'nodes' ? device.paths : [JSON.stringify(device)]))
  if (devices.length !== gpus || new Set(names).size !== names.length)
    throw new TrustedPodsError(
      'PROVISION_RUNTIME_MISMATCH',
      `container ${name} asks for ${gpus} GPUs and was given ${devices.length} of its own, as many different ones are wanted`,
    )
  const nvidia = devices.flatMap((device) => (device.kind === 'nvidia' ? [device.id] : []))
  const cdi = devices.flatMap((device) => (device.kind === 'cdi' ? [device.name] : []))
  const paths = devices.flatMap((device) => (device.kind === 'nodes' ? [...device.paths, ...device.control] : []))
  return {
    DeviceRequests: [
      ...(nvidia.length > 0 ? [{ Driver: 'nvidia', DeviceIDs: nvidia, Capabilities: [['gpu']] }] : []),
      ...(cdi.length > 0 ? [{ Driver: 'cdi', DeviceIDs: cdi }] : []),
    ],
    // Read and written, never made: a tenant that makes nodes could make any.
    Devices: [...new Set(paths)].map((path) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: 'rw' })),
  }
}

/** The same for all: no capability, no way to gain one, no device, nothing shared with the host, no restart by the engine. */
function hardening({ cgroupParent }: RenderContext): object {
  return {
    ...(cgroupParent !== undefined && { CgroupParent: cgroupParent }),
    CapDrop: ['ALL'],
    CapAdd: [],
    SecurityOpt: ['no-new-privileges'],
    Privileged: false,
    PidMode: '',
    IpcMode: 'private',
    CgroupnsMode: 'private',
    Devices: [],
    PublishAllPorts: false,
    AutoRemove: false,
    RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    LogConfig: LOG_CONFIG,
  }
}

function memberMounts(pod: PodSpec, spec: ContainerSpec, { secretFiles }: MemberContext): object[] {
  return spec.mounts.map(({ volume, mountPath, readOnly }) => {
    const kind = pod.volumes[volume]?.kind
    if (kind === undefined) {
      const reason = `container ${spec.name} mounts volume ${volume}, the pod has ${pod.volumes.length}`
      throw new TrustedPodsError('PROVISION_BAD_POD', reason)
    }
    if (kind !== 'secret') return volumeMount(pod.podId, volume, mountPath, readOnly)
    return { Type: 'bind', Source: secretFiles.get(volume) ?? '', Target: mountPath, ReadOnly: true }
  })
}

function volumeMount(podId: string, index: number, target: string, readOnly = false): object {
  return { Type: 'volume', Source: volumeName(podId, index), Target: target, ReadOnly: readOnly }
}

interface PublishedPort {
  /** `<port>/<protocol>`, the port being the container's. */
  readonly key: string
  readonly container: string
  readonly hostIp: string
  readonly hostPort: number
}

/** Ports of an HTTP host are the front's and are not published. */
function publishedPorts({ containers }: PodSpec): PublishedPort[] {
  return containers.flatMap(({ name, ports }) =>
    ports
      .filter(({ httpHost }) => httpHost === '')
      .map((port) => ({
        key: `${port.targetPort}/${port.protocol}`,
        container: name,
        hostIp: port.hostIp || '0.0.0.0',
        hostPort: port.port,
      })),
  )
}

function portBindings(pod: PodSpec): Record<string, { HostIp: string; HostPort: string }[]> {
  const bindings = Map.groupBy(publishedPorts(pod), ({ key }) => key)
  const bound = ({ hostIp, hostPort }: PublishedPort) => ({ HostIp: hostIp, HostPort: String(hostPort) })
  return Object.fromEntries([...bindings].map(([key, ports]) => [key, ports.map(bound)]))
}

/** The hash covers all but the labels, which say where the container belongs rather than what it is. */
function labelled(name: string, body: object, labels: Readonly<Record<string, string>>): RenderedContainer {
  const spec = createHash('sha256').update(JSON.stringify(body)).digest('hex')
  return { name, body: { ...body, Labels: { ...labels, [SPEC_LABEL]: spec } } }
}

function requireEnforceable({ name, cpuMillis, memoryBytes }: ContainerSpec): void {
  if (cpuMillis >= LEAST_CPU_MILLIS && memoryBytes >= LEAST_MEMORY_BYTES) return
  throw new TrustedPodsError(
    'PROVISION_BAD_POD',
    `container ${name} has limits of ${cpuMillis}m CPU and ${memoryBytes} bytes, at least ${LEAST_CPU_MILLIS}m and ${LEAST_MEMORY_BYTES} are wanted`,
  )
}
