/**
 * A pod's volumes: the engine's own ones on its data disk, and one in memory for each secret. The size of those on disk is
 * not enforced. I/O.
 */
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { createVolume, type VolumeInspection } from '@trusted-pods/platform/engine/volumes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { KIND_LABEL, podLabels, volumeName } from './pod-names.ts'
import type { PodSpec, VolumeSpec } from './pod-runtime.ts'

/** 1 MiB: a secret has at most 256 KiB, once for each user id that reads it. */
const SECRET_OPTIONS = { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,mode=0755,nosuid,nodev,noexec' }

/** Makes those that are not there; in the order of the pod's list.
 * @throws TrustedPodsError PROVISION_RUNTIME when a name is somebody else's or of another kind. */
export async function ensureVolumes(
  engine: Engine,
  pod: PodSpec,
  { owner, signal }: { owner: string; signal?: AbortSignal | undefined },
): Promise<VolumeInspection[]> {
  const volumes: VolumeInspection[] = []
  for (const [index, spec] of pod.volumes.entries()) {
    const labels = { ...podLabels(owner, pod.podId, 'volume'), [KIND_LABEL]: spec.kind }
    const options = optionsOf(spec)
    const volume = await createVolume(engine, volumeName(pod.podId, index), { labels, options, signal })
    requireSame(volume, { labels, options })
    volumes.push(volume)
  }
  return volumes
}

function optionsOf({ kind }: VolumeSpec): Readonly<Record<string, string>> {
  return kind === 'secret' ? SECRET_OPTIONS : {}
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
