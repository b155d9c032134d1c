/** Volumes of an engine: create, inspect, list, remove. I/O. */
import { type Engine, labelFilter } from './engine-client.ts'
import type { CallOptions } from './images.ts'
import { listAt, recordAt, textAt, textsOf } from './json-view.ts'

export interface VolumeInspection {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Options of the local driver: type, device, o. */
  readonly options: Readonly<Record<string, string>>
  /** Where the engine's machine has it. */
  readonly mountpoint: string
}

export interface VolumeCreation extends CallOptions {
  readonly labels: Readonly<Record<string, string>>
  /** Options of the local driver. */
  readonly options?: Readonly<Record<string, string>>
}

/** Creates it; one of this name that exists is given back as it is, so the caller compares. */
export async function createVolume(engine: Engine, name: string, options: VolumeCreation): Promise<VolumeInspection> {
  const json = { Name: name, Driver: 'local', DriverOpts: options.options ?? {}, Labels: options.labels }
  await engine.ask({ method: 'POST', path: '/volumes/create', json, signal: options.signal })
  // Asked for again: since its restart Docker 20.10 answers without labels and options of one that it has and no container uses.
  const { value } = await engine.ask({ path: `/volumes/${encodeURIComponent(name)}`, signal: options.signal })
  return inspectionOf(value)
}

/** Those that carry every label. */
export async function listVolumes(
  engine: Engine,
  labels: Readonly<Record<string, string>>,
  options: CallOptions = {},
): Promise<VolumeInspection[]> {
  const query = { filters: labelFilter(labels) }
  const { value } = await engine.ask({ path: '/volumes', query, signal: options.signal })
  return listAt(value, 'Volumes').map(inspectionOf)
}

/** Nothing happens when it is gone. @throws TrustedPodsError PLATFORM_ENGINE_FAILED while a container uses it. */
export async function removeVolume(engine: Engine, name: string, options: CallOptions = {}): Promise<void> {
  const path = `/volumes/${encodeURIComponent(name)}`
  await engine.ask({ method: 'DELETE', path, accept: [404], signal: options.signal })
}

function inspectionOf(value: unknown): VolumeInspection {
  return {
    name: textAt(value, 'Name'),
    labels: textsOf(recordAt(value, 'Labels')),
    options: textsOf(recordAt(value, 'Options')),
    mountpoint: textAt(value, 'Mountpoint'),
  }
}
