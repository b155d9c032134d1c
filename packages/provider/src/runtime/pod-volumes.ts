/** A pod's volumes: one in memory for each secret, the others on the engine's data disk, with a disk of their own where the
 * machine has the means. I/O. */
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { createVolume, type VolumeInspection } from '@trusted-pods/platform/engine/volumes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { KIND_LABEL, podLabels, volumeName } from './pod-names.ts'
import type { PodSpec } from './pod-runtime.ts'
import type { VolumeDisks } from './volume-disks.ts'

/** 1 MiB: a secret has at most 256 KiB, once for each user id that reads it. */
const SECRET_OPTIONS = { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,mode=0755,nosuid,nodev,noexec' }

/** Makes those that are not there; in the order of the pod's list.
 * @throws TrustedPodsError PROVISION_RUNTIME when a name is somebody else's or of another kind. */
export async function ensureVolumes(
  engine: Engine,
  pod: PodSpec,
  { owner, disks, signal }: { owner: string; disks: VolumeDisks | undefined; signal?: AbortSignal | undefined },
): Promise<VolumeInspection[]> {
  const volumes: VolumeInspection[] = []
  for (const [index, spec] of pod.volumes.entries()) {
    const labels = { ...podLabels(owner, pod.podId, 'volume'), [KIND_LABEL]: spec.kind }
    const name = volumeName(pod.podId, index)
    const options = spec.kind === 'secret' ? SECRET_OPTIONS : (disks?.optionsOf(name) ?? {})
    const volume = await createVolume(engine, name, { labels, options, signal })
    requireSame(volume, { labels, options })
    if (spec.kind !== 'secret') await disks?.attach(name, spec.sizeBytes)
    volumes.push(volume)
  }
  return volumes
}

/** The engine gives back a volume of this name that was there, whatever it is: a secret must not land on a disk. */
function requireSame(seen: VolumeInspection, wanted: Pick<VolumeInspection, 'labels' | 'options'>): void {
  const isSame =
    Object.entries(wanted.labels).every(([name, value]) => seen.labels[name] === value) &&
    Object.entries(wanted.options).every(([name, value]) => seen.options[name] === value) &&
    Object.keys(seen.options).length === Object.keys(wanted.options).length
  if (isSame) return
  throw new TrustedPodsError(
    'PROVISION_RUNTIME',
    `volume ${seen.name} belongs to another provider or pod, or is of another kind`,
  )
}
