/** The closed list of resources: names, units, selectors. Spec: spec/MANIFEST.md#resources. Pure. */

interface ResourceKind {
  /** milli: the number 1 in the manifest is 1000 on the wire; one: it is 1. */
  readonly unit: 'milli' | 'one'
  /** What one of the wire's units is, for people. */
  readonly counts: string
  /** The manifest's key for the wire's selector, where the resource has one. */
  readonly selectorKey?: 'model' | 'class'
  /** Counted from volumes and ports, so that no container may ask for it. */
  readonly derived?: string
}

const KINDS = {
  cpu: { unit: 'milli', counts: 'millicores', selectorKey: 'model' },
  memory: { unit: 'one', counts: 'bytes' },
  storage: { unit: 'one', counts: 'bytes', selectorKey: 'class', derived: 'volumes' },
  'ephemeral-storage': { unit: 'one', counts: 'bytes', selectorKey: 'class' },
  'nvidia.com/gpu': { unit: 'one', counts: 'devices', selectorKey: 'model' },
  'trustedpods/ip': { unit: 'one', counts: 'addresses', selectorKey: 'class' },
  'trustedpods/port': { unit: 'one', counts: 'ports', derived: 'ports' },
  'ingress-bandwidth': { unit: 'one', counts: 'bytes' },
  'egress-bandwidth': { unit: 'one', counts: 'bytes' },
} as const satisfies Record<string, ResourceKind>

export type ResourceName = keyof typeof KINDS

/** Every name, in the order in which lists of resources are written. */
export const RESOURCE_NAMES = Object.keys(KINDS) as readonly ResourceName[]

export function isResourceName(name: string): name is ResourceName {
  return Object.hasOwn(KINDS, name)
}

export function resourceKind(name: ResourceName): ResourceKind {
  return KINDS[name]
}

/** Names that a container may ask for. */
export const CONTAINER_RESOURCE_NAMES = RESOURCE_NAMES.filter((name) => resourceKind(name).derived === undefined)
