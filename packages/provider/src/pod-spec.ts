/** From the wire manifest to what the runtime should run. Pure. */
import { type Container, type Pod, PortProtocol, VolumeType } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { GPU } from './devices.ts'
import type { PodRow } from './pod-row.ts'
import type { ContainerSpec, ImageRef, PodSpec, PortSpec, VolumeSpec } from './runtime/pod-runtime.ts'

/** @param row its images are the runtime's names, one per container. The pod was checked before (manifest/check-pod.ts). */
export function toPodSpec(pod: Pod, { podId, images, devices }: Pick<PodRow, 'podId' | 'images' | 'devices'>): PodSpec {
  const given = (name: string) => devices.filter(({ container }) => container === name).map(({ access }) => access)
  return {
    podId,
    containers: pod.containers.map((container, i) => ({
      ...toContainerSpec(container, images[i] as ImageRef),
      devices: given(container.name),
    })),
    volumes: pod.volumes.map(({ type, storageBytes, secret }): VolumeSpec => {
      const kind = volumeKind(type)
      return { kind, sizeBytes: storageBytes, ...(kind === 'secret' && { secret }) }
    }),
  }
}

/** Host names that the HTTP front serves for the pod, and where in it. */
export function httpRoutes(pod: Pod): { host: string; targetPort: number; container: string }[] {
  return pod.containers.flatMap((container) =>
    container.ports
      .filter(({ httpHost }) => httpHost !== '')
      .map(({ httpHost, targetPort }) => ({ host: httpHost, targetPort, container: container.name })),
  )
}

function volumeKind(type: VolumeType): VolumeSpec['kind'] {
  if (type === VolumeType.VOLUME) return 'volume'
  return type === VolumeType.SECRET ? 'secret' : 'empty-dir'
}

function toContainerSpec(container: Container, image: ImageRef): ContainerSpec {
  const { name, command, args, workingDir, env, mounts } = container
  return {
    name,
    image,
    command,
    args,
    workingDir,
    env,
    mounts,
    ports: container.ports.map(
      (port): PortSpec => ({
        port: port.port,
        targetPort: port.targetPort,
        protocol: port.protocol === PortProtocol.UDP ? 'udp' : 'tcp',
        hostIp: port.hostIp,
        httpHost: port.httpHost,
      }),
    ),
    cpuMillis: quantityOf(container, 'cpu'),
    memoryBytes: quantityOf(container, 'memory'),
    gpus: Number(quantityOf(container, GPU)),
  }
}

function quantityOf({ resources }: Container, name: string): bigint {
  return resources.filter((resource) => resource.name === name).reduce((sum, { quantity }) => sum + quantity, 0n)
}
