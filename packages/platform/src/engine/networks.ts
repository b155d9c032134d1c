/** Networks of an engine: create, inspect, list, remove. I/O. */
import { type Engine, labelFilter } from './engine-client.ts'
import type { CallOptions } from './images.ts'
import { listAt, recordAt, textAt, textsOf } from './json-view.ts'

export interface NetworkInspection {
  readonly id: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Name of the host's bridge; empty when the engine chose it. */
  readonly bridge: string
  /** IPv4 and IPv6 subnets in CIDR notation. */
  readonly subnets: readonly string[]
}

export interface NetworkCreation extends CallOptions {
  /** The host's bridge, at most 15 characters. */
  readonly bridge: string
  /** CIDR notation, IPv4. */
  readonly subnet: string
  readonly labels: Readonly<Record<string, string>>
}

export async function createNetwork(engine: Engine, name: string, options: NetworkCreation): Promise<void> {
  const json = {
    Name: name,
    CheckDuplicate: true,
    Driver: 'bridge',
    EnableIPv6: false,
    IPAM: { Driver: 'default', Config: [{ Subnet: options.subnet }] },
    Options: { 'com.docker.network.bridge.name': options.bridge },
    Labels: options.labels,
  }
  await engine.ask({ method: 'POST', path: '/networks/create', json, signal: options.signal })
}

/** undefined: no network of this name. */
export async function inspectNetwork(
  engine: Engine,
  name: string,
  options: CallOptions = {},
): Promise<NetworkInspection | undefined> {
  const path = `/networks/${encodeURIComponent(name)}`
  const { status, value } = await engine.ask({ path, accept: [404], signal: options.signal })
  return status === 404 ? undefined : inspectionOf(value)
}

/** All networks, or those that carry every label. */
export async function listNetworks(
  engine: Engine,
  labels: Readonly<Record<string, string>>,
  options: CallOptions = {},
): Promise<NetworkInspection[]> {
  const { value } = await engine.ask({
    path: '/networks',
    query: { filters: labelFilter(labels) },
    signal: options.signal,
  })
  return listAt(value).map(inspectionOf)
}

/** Nothing happens when it is gone. */
export async function removeNetwork(engine: Engine, name: string, options: CallOptions = {}): Promise<void> {
  const path = `/networks/${encodeURIComponent(name)}`
  await engine.ask({ method: 'DELETE', path, accept: [404], signal: options.signal })
}

function inspectionOf(value: unknown): NetworkInspection {
  return {
    id: textAt(value, 'Id'),
    name: textAt(value, 'Name'),
    labels: textsOf(recordAt(value, 'Labels')),
    bridge: textAt(value, 'Options', 'com.docker.network.bridge.name'),
    subnets: listAt(value, 'IPAM', 'Config').map((config) => textAt(config, 'Subnet')),
  }
}
