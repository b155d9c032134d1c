/** The manifest's resources: quantities in their units, defaults for what every container needs. Spec:
 * spec/MANIFEST.md#resources. Pure. */
import { describe, type Fields, readFields, readMap, readText } from './fields.ts'
import {
  DEFAULT_CPU_MILLIS,
  DEFAULT_MEMORY_BYTES,
  DEFAULT_STORAGE_BYTES,
  type ResourceManifest,
  type StorageManifest,
} from './manifest.ts'
import { isSelector, SELECTOR } from './names.ts'
import { nearestKey } from './nearest-key.ts'
import { formatQuantity, readQuantity } from './quantity.ts'
import {
  CONTAINER_RESOURCE_NAMES,
  isResourceName,
  RESOURCE_NAMES,
  type ResourceName,
  resourceKind,
} from './resource-names.ts'
import { fail, quote, warn, type YamlEntry, type YamlNode, type YamlPlace } from './yaml-tree.ts'

/** 10m and 6 MiB: container engines take no less. */
const LEAST_CPU_MILLIS = 10n
const LEAST_MEMORY_BYTES = 6n * 1024n * 1024n

const DERIVED_HINTS: Readonly<Record<string, string>> = {
  volumes: 'storage belongs to a volume: volumes: - {type: volume, mountPath: /data, resources: {storage: 1Gi}}',
  ports: 'ports are counted from the ports list',
}
const SYNONYM_HINTS: Readonly<Record<string, string>> = {
  requests: 'what is asked for is also the limit: write cpu and memory right here',
  limits: 'what is asked for is also the limit: write cpu and memory right here',
  ram: 'did you mean memory?',
  gpu: 'did you mean nvidia.com/gpu?',
  cpus: 'did you mean cpu?',
}

/** @param container Where a missing cpu or memory is reported. */
export function readResources(node: YamlNode | undefined, container: YamlPlace): readonly ResourceManifest[] {
  const map = node === undefined ? undefined : readMap(node, 'a map such as {cpu: 500m, memory: 256Mi}')
  const found = new Map<ResourceName, ResourceManifest>()
  for (const entry of map?.entries ?? []) {
    const resource = readResource(entry)
    if (resource !== undefined) found.set(resource.name, resource)
  }
  const written = new Set(map?.entries.map((entry) => entry.key))
  for (const [name, quantity] of [
    ['cpu', DEFAULT_CPU_MILLIS],
    ['memory', DEFAULT_MEMORY_BYTES],
  ] as const) {
    if (written.has(name)) continue
    const shown = formatQuantity(quantity, resourceKind(name))
    warn(map ?? container, `no ${name} is asked for: ${shown} will be reserved and paid for`, {
      hint: `add resources: {${name}: ${shown}}`,
    })
    found.set(name, { name, quantity, selector: '' })
  }
  return RESOURCE_NAMES.flatMap((name) => found.get(name) ?? [])
}

function readResource(entry: YamlEntry): ResourceManifest | undefined {
  const name = entry.key
  if (!isResourceName(name)) {
    refuseName(entry)
    return undefined
  }
  const kind = resourceKind(name)
  if (kind.derived !== undefined) {
    fail(entry.place, `a container cannot ask for ${name}`, { hint: DERIVED_HINTS[kind.derived] ?? '' })
    return undefined
  }
  const { quantityNode, selector } = readDemand(entry, kind.selectorKey)
  if (quantityNode === undefined) return undefined
  const quantity = readAmount(quantityNode, kind)
  if (quantity === undefined) return undefined
  checkLeast(name, quantity, quantityNode)
  // Nothing of a device is the same as not asking.
  return quantity === 0n ? undefined : { name, quantity, selector }
}

function refuseName(entry: YamlEntry): void {
  const nearest = nearestKey(entry.key, CONTAINER_RESOURCE_NAMES)
  const guess = nearest === undefined ? `known: ${CONTAINER_RESOURCE_NAMES.join(', ')}` : `did you mean ${nearest}?`
  const synonym = Object.hasOwn(SYNONYM_HINTS, entry.key) ? SYNONYM_HINTS[entry.key] : undefined
  fail(entry.place, `unknown resource ${quote(entry.key)}`, { hint: synonym ?? guess })
}

/** `1` or `{quantity: 1, model: H100}`. */
function readDemand(
  entry: YamlEntry,
  selectorKey: 'model' | 'class' | undefined,
): { quantityNode: YamlNode | undefined; selector: string } {
  if (entry.value.kind !== 'map') return { quantityNode: entry.value, selector: '' }
  const keys: readonly ('quantity' | 'model' | 'class')[] = [
    'quantity',
    ...(selectorKey === undefined ? [] : [selectorKey]),
  ]
  const fields: Fields<'quantity' | 'model' | 'class'> = readFields(entry.value, keys)
  if (fields.quantity === undefined && !entry.value.entries.some(({ key }) => key === 'quantity')) {
    fail(entry.value, `${entry.key} has no quantity`, {
      hint: `write {quantity: 1${selectorKey ? `, ${selectorKey}: …` : ''}}`,
    })
  }
  const selectorNode = selectorKey === undefined ? undefined : fields[selectorKey]
  return { quantityNode: fields.quantity, selector: selectorNode === undefined ? '' : readSelector(selectorNode) }
}

function readSelector(node: YamlNode): string {
  const selector = readText(node, 'a model or class').trim()
  if (!isSelector(selector)) fail(node, `${describe(node)} is no model or class, wanted ${SELECTOR}`)
  return selector
}

/** A quantity in the resource's unit; undefined after reporting. */
export function readAmount(node: YamlNode, unit: { readonly unit: 'milli' | 'one' }): bigint | undefined {
  const text = readText(node, 'a quantity such as 500m or 64Mi')
  if (node.kind !== 'scalar' || node.type === 'null') return undefined
  const reading = readQuantity(text, unit)
  if (reading.kind === 'quantity') return reading.quantity
  fail(node, reading.message, reading.hint === undefined ? {} : { hint: reading.hint })
  return undefined
}

function checkLeast(name: ResourceName, quantity: bigint, node: YamlNode): void {
  if (name !== 'cpu' && name !== 'memory') return
  const least = name === 'cpu' ? LEAST_CPU_MILLIS : LEAST_MEMORY_BYTES
  if (quantity === 0n) {
    fail(node, `${name} is 0, wanted more`, { hint: 'what runs has to be reserved and paid for' })
  } else if (quantity < least) {
    const unit = resourceKind(name)
    warn(
      node,
      `${name} is ${formatQuantity(quantity, unit)}: container engines take at least ${formatQuantity(least, unit)}`,
      {
        hint: name === 'cpu' ? 'm is a thousandth of a core' : 'a number alone is bytes: write 64Mi for mebibytes',
      },
    )
  }
}

/** A volume's resources: {storage: 1Gi} or {storage: {quantity: 1Gi, class: nvme}}. @param volume Where a missing size is reported. */
export function readStorage(node: YamlNode | undefined, volume: YamlPlace): StorageManifest {
  const map = node === undefined ? undefined : readMap(node, 'a map such as {storage: 1Gi}')
  if (map !== undefined) readFields(map, ['storage'])
  const entry = map?.entries.find(({ key }) => key === 'storage')
  if (entry === undefined) {
    if (node !== undefined && (node.kind !== 'map' || node.entries.length > 0)) return { storageBytes: 0n }
    const shown = formatQuantity(DEFAULT_STORAGE_BYTES)
    warn(volume, `no storage is asked for: ${shown} will be reserved and paid for`, {
      hint: `add resources: {storage: ${shown}}`,
    })
    return { storageBytes: DEFAULT_STORAGE_BYTES }
  }
  const { quantityNode, selector } = readDemand(entry, resourceKind('storage').selectorKey)
  const storageBytes = quantityNode === undefined ? 0n : readSize(quantityNode)
  return { storageBytes, ...(selector !== '' && { storageClass: selector }) }
}

function readSize(node: YamlNode): bigint {
  const bytes = readAmount(node, { unit: 'one' }) ?? 0n
  if (bytes === 0n && node.kind === 'scalar' && readQuantity(node.text).kind === 'quantity') {
    fail(node, 'storage is 0, wanted more', { hint: 'what is kept has to be reserved and paid for' })
  }
  return bytes
}
