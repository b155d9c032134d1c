/** Where containers see volumes: by name, in the short form, or with the volume declared inline. Spec:
 * spec/MANIFEST.md#volumes. Pure. */
import { MAX_MOUNTS } from '../wire/protocols.ts'
import { describe, isMissing, readBoolean, readFields, readItems, readText } from './fields.ts'
import type { MountManifest } from './manifest.ts'
import { mountsClash } from './mounts-clash.ts'
import { shortestPath, uniqueLabel, whyBadMountPath } from './names.ts'
import { nearestKey } from './nearest-key.ts'
import { readVolume, VOLUME_SYNONYMS, type VolumeTable } from './read-volumes.ts'
import { fail, quote, type YamlNode } from './yaml-tree.ts'

const NAMED_MOUNT_KEYS = ['name', 'mountPath', 'readOnly'] as const
const INLINE_MOUNT_KEYS = ['type', 'mountPath', 'resources', 'source', 'value', 'readOnly'] as const

/** A container's volumes. Inline ones are added to the table under a name made from their path. */
export function readMounts(node: YamlNode | undefined, table: VolumeTable): readonly MountManifest[] {
  const mounts: MountManifest[] = []
  for (const item of readItems(node, { wanted: 'a list of volumes', max: MAX_MOUNTS })) {
    const mount = item.kind === 'map' ? readMountMap(item, table) : readShortMount(item, table)
    if (mount === undefined) continue
    table.used.add(mount.volume)
    checkMountPath(item, mount, mounts, table)
    mounts.push(mount)
  }
  return mounts
}

/** "name:/path", "name:/path:ro", "name:/path:rw". */
function readShortMount(node: YamlNode, table: VolumeTable): MountManifest | undefined {
  const text = readText(node, '"name:/path", or a map with mountPath')
  if (node.kind !== 'scalar') return undefined
  const match = /^([^:]*):([^:]*)(?::(ro|rw))?$/.exec(text)
  const [, name = '', path = '', mode] = match ?? []
  if (match === null || path === '' || /^[./~]/.test(name)) {
    const hint = /^[./~]/.test(text)
      ? 'folders of a machine cannot be mounted: declare a volume and give the container its files in the image'
      : 'write data:/var/data or data:/var/data:ro, with data in the volumes list'
    fail(node, `${describe(node)} is no volume, wanted "name:/path[:ro]"`, { hint })
    return undefined
  }
  const volume = findVolume(name, node, table)
  return volume === undefined ? undefined : toMount(volume, { path, readOnly: mode === 'ro', table })
}

function readMountMap(node: YamlNode, table: VolumeTable): MountManifest | undefined {
  const named = !isMissing(node, 'name') && isMissing(node, 'type')
  return named ? readNamedMount(node, table) : readInlineMount(node, table)
}

function readNamedMount(node: YamlNode, table: VolumeTable): MountManifest | undefined {
  const fields = readFields(node, NAMED_MOUNT_KEYS, { synonyms: VOLUME_SYNONYMS })
  const path = readMountPath(node, fields.mountPath)
  const readOnly = readReadOnly(fields.readOnly)
  if (fields.name === undefined) return undefined
  const volume = findVolume(readText(fields.name, 'the name of a volume'), fields.name, table)
  return volume === undefined ? undefined : toMount(volume, { path, readOnly, table })
}

function readInlineMount(node: YamlNode, table: VolumeTable): MountManifest {
  const fields = readFields(node, INLINE_MOUNT_KEYS, {
    synonyms: { ...VOLUME_SYNONYMS, name: 'a volume with a name and a type belongs in the volumes list' },
  })
  const path = readMountPath(node, fields.mountPath)
  const taken = new Set(table.volumes.map((volume) => volume.name))
  const volumeName = uniqueLabel(path, taken, { fallback: 'inline' })
  const volume = table.volumes.push(readVolume(node, { ...fields, volumeName })) - 1
  table.places.push(node)
  return toMount(volume, { path, readOnly: readReadOnly(fields.readOnly), table })
}

function readMountPath(node: YamlNode, path: YamlNode | undefined): string {
  if (isMissing(node, 'mountPath')) {
    fail(node, 'the volume has no mountPath', { hint: 'where the container sees it: mountPath: /data' })
  }
  return path === undefined ? '' : readText(path, 'an absolute path')
}

function readReadOnly(node: YamlNode | undefined): boolean {
  return node !== undefined && readBoolean(node)
}

function findVolume(name: string, node: YamlNode, table: VolumeTable): number | undefined {
  const index = table.volumes.findIndex((volume) => volume.name === name)
  if (index >= 0) return index
  const names = table.volumes.map((volume) => volume.name).filter((known) => known !== '')
  const nearest = nearestKey(name, names)
  const hint =
    nearest === undefined
      ? `declare it in volumes: - {name: ${name || 'data'}, type: volume, …}`
      : `did you mean ${nearest}?`
  fail(node, `there is no volume named ${quote(name)}`, { hint })
  return undefined
}

function toMount(volume: number, given: { path: string; readOnly: boolean; table: VolumeTable }): MountManifest {
  const secret = given.table.volumes[volume]?.kind === 'secret'
  return { volume, mountPath: shortestPath(given.path), readOnly: given.readOnly || secret }
}

function checkMountPath(
  node: YamlNode,
  mount: MountManifest,
  earlier: readonly MountManifest[],
  table: VolumeTable,
): void {
  if (mount.mountPath === '') return
  const bad = whyBadMountPath(mount.mountPath)
  if (bad !== undefined) fail(node, `the mount path ${quote(mount.mountPath)} ${bad}`, { hint: 'such as /data' })
  const clash = earlier.find((other) => mountsClash(other, mount, (index) => table.volumes[index]?.kind === 'secret'))
  if (clash !== undefined) {
    fail(node, `the mount path ${quote(mount.mountPath)} is taken by the volume at ${quote(clash.mountPath)}`)
  }
}
