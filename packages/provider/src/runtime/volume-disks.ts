/**
 * Volumes that end where their size does: each has a disk of its own, a file in the engine's folder of the volume, so that it
 * goes with the volume. I/O. Spec: docs/runtime.md#volumes.
 */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { attachDisk, detachDisk, loopDiskObstacle, makeDisk } from '@trusted-pods/platform/engine/loop-disk.ts'
import type { EngineFacts } from './engine-facts.ts'

export interface VolumeDisks {
  /** What the engine's local driver mounts for the volume of this name. */
  optionsOf(volume: string): Readonly<Record<string, string>>
  /** Makes the disk of a volume that the engine has, and makes it ready to be mounted. Safe to repeat. */
  attach(volume: string, sizeBytes: bigint): Promise<void>
  /** Before the engine removes the volume. */
  detach(volume: string): Promise<void>
}

/** A reason where volumes cannot have disks: not root, no tools, or an engine that runs elsewhere. */
export async function openVolumeDisks(
  engine: Engine,
  { dataRoot, cgroups }: EngineFacts,
): Promise<VolumeDisks | { readonly obstacle: string }> {
  const folder = join(dataRoot, 'volumes')
  const hasVolumes = await access(folder).then(
    () => dataRoot !== '',
    () => false,
  )
  if (engine.name !== 'Docker Engine') return { obstacle: `${engine.name} keeps its volumes otherwise than Docker` }
  if (cgroups.isRootless) return { obstacle: 'the engine is rootless and may not mount a disk' }
  if (!hasVolumes) return { obstacle: `the engine has its volumes at ${folder}, which is not on this machine` }
  const obstacle = await loopDiskObstacle()
  if (obstacle !== undefined) return { obstacle }
  return disksBelow(folder)
}

function disksBelow(folder: string): VolumeDisks {
  const disk = (volume: string) => join(folder, volume, 'disk')
  const device = (volume: string) => join(folder, volume, 'device')
  return {
    optionsOf: (volume) => ({ type: 'ext4', device: device(volume), o: 'nosuid,nodev' }),
    attach: async (volume, sizeBytes) => {
      await makeDisk(disk(volume), sizeBytes)
      await attachDisk(disk(volume), device(volume))
    },
    detach: (volume) => detachDisk(disk(volume)),
  }
}
