/** The resources that can be priced, the unit of their counters and the units people say. Spec: spec/PRICING.md#resources. Pure. */
import { PriceKind } from '../gen/trustedpods/v0/pricing_pb.ts'

export interface QuantityUnit {
  readonly name: string
  /** How many of the resource's own units it is. */
  readonly size: bigint
}

export interface PricedResource {
  readonly kind: Exclude<PriceKind, typeof PriceKind.UNSPECIFIED>
  /** Units that people say, the ones preferred for printing first; the last has size 1. */
  readonly units: readonly QuantityUnit[]
}

/** The name of the FLAT line: counted once for each start of a pod. */
export const START = 'start'

/** Bytes that a pod sends, and receives. */
export const EGRESS = 'egress-bandwidth'
export const INGRESS = 'ingress-bandwidth'

const BYTES: readonly QuantityUnit[] = [
  { name: 'TiB', size: 2n ** 40n },
  { name: 'GiB', size: 2n ** 30n },
  { name: 'MiB', size: 2n ** 20n },
  { name: 'TB', size: 10n ** 12n },
  { name: 'GB', size: 10n ** 9n },
  { name: 'MB', size: 10n ** 6n },
  { name: 'KiB', size: 2n ** 10n },
  { name: 'byte', size: 1n },
]

const CPU: readonly QuantityUnit[] = [
  { name: 'vCPU', size: 1000n },
  { name: 'mCPU', size: 1n },
]

/** Every resource that a price list may name. */
export const PRICED_RESOURCES: ReadonlyMap<string, PricedResource> = new Map<string, PricedResource>([
  ['cpu', { kind: PriceKind.RESERVE, units: CPU }],
  ['memory', { kind: PriceKind.RESERVE, units: BYTES }],
  ['storage', { kind: PriceKind.RESERVE, units: BYTES }],
  ['ephemeral-storage', { kind: PriceKind.RESERVE, units: BYTES }],
  ['nvidia.com/gpu', { kind: PriceKind.RESERVE, units: [{ name: 'GPU', size: 1n }] }],
  ['trustedpods/ip', { kind: PriceKind.RESERVE, units: [{ name: 'IP', size: 1n }] }],
  ['trustedpods/port', { kind: PriceKind.RESERVE, units: [{ name: 'port', size: 1n }] }],
  [INGRESS, { kind: PriceKind.USAGE, units: BYTES }],
  [EGRESS, { kind: PriceKind.USAGE, units: BYTES }],
  [START, { kind: PriceKind.FLAT, units: [{ name: 'start', size: 1n }] }],
])

/** Seconds of each period that people say; a month is 730 hours. */
export const PERIODS: ReadonlyMap<string, bigint> = new Map([
  ['second', 1n],
  ['minute', 60n],
  ['hour', 3600n],
  ['day', 86_400n],
  ['month', 2_628_000n],
])
