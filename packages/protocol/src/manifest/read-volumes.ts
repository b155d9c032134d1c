/** The manifest's volumes: kinds, sizes, contents of secrets. Spec: spec/MANIFEST.md#volumes. Pure. */
import { MAX_SECRET_BYTES, MAX_VOLUMES } from '../wire/protocols.ts'
import { describe, isMissing, readFields, readItems, readText } from './fields.ts'
import type { SecretContent, VolumeManifest } from './manifest.ts'
import { DNS_LABEL, isDnsLabel, whyBadText } from './names.ts'
import { nearestKey } from './nearest-key.ts'
import { readStorage } from './read-resources.ts'
import { fail, quote, warn, type YamlNode, type YamlPlace } from './yaml-tree.ts'

const VOLUME_KEYS = ['name', 'type', 'resources', 'source', 'value'] as const
const TYPES = ['volume', 'emptyDir', 'secret'] as const
export const VOLUME_SYNONYMS = {
  file: 'did you mean source?',
  content: 'did you mean value?',
  size: 'write resources: {storage: 1Gi}',
  storage: 'write resources: {storage: 1Gi}',
  path: 'did you mean mountPath?',
  target: 'did you mean mountPath?',
  volume: 'did you mean name?',
}

/** The pod's volumes while containers are read. */
export interface VolumeTable {
  readonly volumes: VolumeManifest[]
  /** Where each was written. */
  readonly places: YamlPlace[]
  readonly used: Set<number>
}

/** The top-level list; mounts of the containers follow by readMounts. */
export function readVolumes(node: YamlNode | undefined): VolumeTable {
  const table: VolumeTable = { volumes: [], places: [], used: new Set() }
  for (const item of readItems(node, { wanted: 'a list of volumes', max: MAX_VOLUMES })) {
    const fields = readFields(item, VOLUME_KEYS, { synonyms: VOLUME_SYNONYMS })
    if (isMissing(item, 'name')) fail(item, 'the volume has no name', { hint: 'containers mount it by its name' })
    const name = fields.name === undefined ? '' : readText(fields.name, DNS_LABEL)
    if (fields.name !== undefined) checkVolumeName(name, fields.name, table)
    table.volumes.push(readVolume(item, { ...fields, volumeName: name }))
    table.places.push(item)
  }
  return table
}

function checkVolumeName(name: string, node: YamlNode, table: VolumeTable): void {
  if (!isDnsLabel(name)) fail(node, `${describe(node)} is no volume name, wanted ${DNS_LABEL}`)
  else if (table.volumes.some((volume) => volume.name === name)) {
    fail(node, `a volume named ${quote(name)} is already there`, { hint: 'each volume has its own name' })
  }
}

export interface VolumeNodes {
  readonly type?: YamlNode
  readonly resources?: YamlNode
  readonly source?: YamlNode
  readonly value?: YamlNode
  readonly volumeName: string
}

/** A named or inline volume. @param place Where what is missing is reported. */
export function readVolume(place: YamlNode, nodes: VolumeNodes): VolumeManifest {
  const kind = readType(place, nodes)
  const name = nodes.volumeName
  if (kind === 'secret') {
    if (nodes.resources !== undefined) {
      fail(nodes.resources, 'a secret has no resources', { hint: 'its size is that of its content' })
    }
    return { kind, name, content: readContent(place, nodes) }
  }
  for (const key of ['source', 'value'] as const) {
    const node = nodes[key]
    if (node !== undefined)
      fail(node, `${key} is given for a volume of type ${kind}`, { hint: `${key} needs type: secret` })
  }
  return { kind, name, ...readStorage(nodes.resources, place) }
}

function readType(place: YamlNode, nodes: VolumeNodes): (typeof TYPES)[number] {
  if (nodes.type === undefined) {
    // What has a content can only have been meant as a secret.
    const guess = nodes.source === undefined && nodes.value === undefined ? 'volume' : 'secret'
    if (isMissing(place, 'type')) {
      fail(place, 'the volume has no type', { hint: `add type: ${guess}; known: ${TYPES.join(', ')}` })
    }
    return guess
  }
  const text = readText(nodes.type, TYPES.join(', '))
  const type = TYPES.find((known) => known === text)
  if (type !== undefined) return type
  const nearest = nearestKey(text, TYPES)
  fail(nodes.type, `${describe(nodes.type)} is no type of volume, wanted ${TYPES.join(', ')}`, {
    ...(nearest === undefined ? {} : { hint: `did you mean ${nearest}?` }),
  })
  return 'volume'
}

function readContent(place: YamlNode, nodes: VolumeNodes): SecretContent {
  if (nodes.source !== undefined && nodes.value !== undefined) {
    fail(nodes.value, 'both source and value are given', { hint: 'a secret is one file or one text' })
  }
  if (nodes.source !== undefined) return { kind: 'source', source: readSource(nodes.source) }
  if (nodes.value !== undefined) return { kind: 'value', value: readValue(nodes.value) }
  if (isMissing(place, 'source') && isMissing(place, 'value')) {
    fail(place, 'the secret has neither source nor value', { hint: 'source: secret.txt, a file beside the manifest' })
  }
  return { kind: 'value', value: '' }
}

function readSource(node: YamlNode): string {
  const source = readText(node, 'the path of a file')
  if (source === '' || whyBadText(source) !== undefined) fail(node, `${describe(node)} is no path of a file`)
  else if (source.startsWith('/') || source.split('/').includes('..')) {
    warn(node, `${describe(node)} lies outside the manifest's folder`, {
      hint: 'its content goes to the pod: make sure that you mean this file',
    })
  }
  return source
}

function readValue(node: YamlNode): string {
  const value = readText(node, 'a text')
  const bytes = new TextEncoder().encode(value).length
  if (!value.isWellFormed()) fail(node, 'the secret holds half of a surrogate pair')
  if (bytes > MAX_SECRET_BYTES) fail(node, `the secret has ${bytes} bytes, at most ${MAX_SECRET_BYTES} are taken`)
  return value
}

/** Warns of volumes that are paid for and seen by no container. */
export function checkVolumesUsed(table: VolumeTable): void {
  for (const [index, place] of table.places.entries()) {
    const name = table.volumes[index]?.name ?? ''
    const namesake = table.volumes.findIndex((volume) => volume.name === name)
    if (!table.used.has(namesake))
      warn(place, `no container mounts the volume ${quote(name)}`, { hint: 'remove it, or mount it' })
  }
}
