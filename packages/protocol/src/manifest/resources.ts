/** What one replica of a pod needs in all: what is asked of a provider, admitted by it and paid for. Spec:
 * spec/MANIFEST.md#totals. Pure. */
import { create } from '@bufbuild/protobuf'
import { type Pod, type Resource, ResourceSchema } from '../gen/trustedpods/v0/pod_pb.ts'
import type { Manifest, StorageManifest } from './manifest.ts'
import { isResourceName, RESOURCE_NAMES } from './resource-names.ts'

/** One entry per name and selector, in the order of RESOURCE_NAMES, then of selectors: the containers' resources, `storage`
 * of its class for every volume, `trustedpods/port` for every port that is published (HTTP hosts are not). */
export function podResources(pod: Pod): Resource[] {
  return addUp({ containers: pod.containers, volumes: pod.volumes })
}

/** The same before there are images. */
export function manifestResources(manifest: Manifest): Resource[] {
  const volumes = manifest.volumes.flatMap((volume) => (volume.kind === 'secret' ? [] : [volume]))
  return addUp({ containers: manifest.containers, volumes })
}

interface Demand {
  readonly name: string
  readonly quantity: bigint
  readonly selector: string
}

interface Parts {
  readonly containers: readonly {
    readonly resources: readonly Demand[]
    readonly ports: readonly { readonly httpHost: string }[]
  }[]
  readonly volumes: readonly StorageManifest[]
}

function addUp(parts: Parts): Resource[] {
  const demands: Demand[] = parts.containers.flatMap((container) => container.resources)
  for (const { storageBytes: quantity, storageClass: selector = '' } of parts.volumes)
    demands.push({ name: 'storage', quantity, selector })
  const published = parts.containers.flatMap((container) => container.ports).filter((port) => port.httpHost === '')
  demands.push({ name: 'trustedpods/port', quantity: BigInt(published.length), selector: '' })
  return merge(demands).toSorted(byNameThenSelector)
}

function merge(demands: readonly Demand[]): Resource[] {
  const sums = new Map<string, Resource>()
  for (const { name, quantity, selector } of demands) {
    if (quantity === 0n) continue
    const key = JSON.stringify([name, selector])
    const sum = sums.get(key)
    if (sum === undefined) sums.set(key, create(ResourceSchema, { name, quantity, selector }))
    else sum.quantity += quantity
  }
  return [...sums.values()]
}

function byNameThenSelector(a: Resource, b: Resource): number {
  const order = rank(a.name) - rank(b.name)
  if (order !== 0) return order
  return a.selector < b.selector ? -1 : Number(a.selector > b.selector)
}

/** Unknown names come last. */
function rank(name: string): number {
  return isResourceName(name) ? RESOURCE_NAMES.indexOf(name) : RESOURCE_NAMES.length
}
