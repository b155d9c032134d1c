/** Takes a pod out of the engine: members, infra, network, volumes, cgroup. Safe to repeat and to break off. I/O. */
import { removeContainer, stopContainer } from '@trusted-pods/platform/engine/containers.ts'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { listNetworks, removeNetwork } from '@trusted-pods/platform/engine/networks.ts'
import { listVolumes, removeVolume } from '@trusted-pods/platform/engine/volumes.ts'
import { findParts } from './observe-pod.ts'
import { removeCgroup } from './pod-cgroup.ts'
import { KIND_LABEL, OWNER_LABEL, POD_LABEL } from './pod-names.ts'
import type { VolumeDisks } from './volume-disks.ts'

/** 5 s between SIGTERM and SIGKILL: a web server closes in that time; the publisher pays until the pod is gone. */
const GRACE_SECONDS = 5

export interface RemoveOptions {
  readonly owner: string
  /** Also volumes that outlive a pod's update; those in memory and of kind empty-dir go in any case. */
  readonly volumes: boolean
  readonly cgroupParent?: string | undefined
  readonly disks: VolumeDisks | undefined
  /** Takes the pod's subnet at its end. */
  readonly freedSubnets: Set<string>
  readonly signal?: AbortSignal | undefined
}

export async function removePod(engine: Engine, podId: string, options: RemoveOptions): Promise<void> {
  const { owner, signal } = options
  const { infra, members, others } = await findParts(engine, podId, options)
  const running = members.filter(({ state }) => state === 'running')
  await Promise.all(running.map(({ id }) => stopContainer(engine, id, { graceSeconds: GRACE_SECONDS, signal })))
  await Promise.all([...members, ...others].map(({ id }) => removeContainer(engine, id, { signal })))
  if (infra) await removeContainer(engine, infra.id, { signal })
  const filter = { [OWNER_LABEL]: owner, [POD_LABEL]: podId }
  for (const { id, subnets } of await listNetworks(engine, filter, { signal })) {
    for (const subnet of subnets) noteFreed(options.freedSubnets, subnet)
    await removeNetwork(engine, id, { signal })
  }
  for (const { name, labels } of await listVolumes(engine, filter, { signal })) {
    if (!options.volumes && labels[KIND_LABEL] === 'volume') continue
    await options.disks?.detach(name)
    await removeVolume(engine, name, { signal })
  }
  if (options.cgroupParent !== undefined) await removeCgroup(options.cgroupParent)
}

/** A set keeps the order in which its members came. */
function noteFreed(freedSubnets: Set<string>, subnet: string): void {
  freedSubnets.delete(subnet)
  freedSubnets.add(subnet)
}
