/** Containers of an engine: create, start, end, inspect, list, files. I/O. */
import { buffer } from 'node:stream/consumers'
import { type Engine, labelFilter } from './engine-client.ts'
import type { CallOptions } from './images.ts'
import { listAt, recordAt, textAt, textsOf } from './json-view.ts'

export interface ContainerListing {
  readonly id: string
  readonly name: string
  /** created, running, paused, restarting, removing, exited or dead. */
  readonly state: string
  readonly labels: Readonly<Record<string, string>>
}

/** Creates a container of this name and gives its id; `body` as the API's ContainerCreate has it. */
export async function createContainer(
  engine: Engine,
  name: string,
  { body, signal }: CallOptions & { body: object },
): Promise<string> {
  const { value } = await engine.ask({
    method: 'POST',
    path: '/containers/create',
    query: { name },
    json: body,
    signal,
  })
  return textAt(value, 'Id')
}

/** Starts it; nothing happens when it runs. */
export async function startContainer(engine: Engine, id: string, options: CallOptions = {}): Promise<void> {
  await engine.ask({ method: 'POST', path: `/containers/${encodeURIComponent(id)}/start`, signal: options.signal })
}

/** SIGTERM, then SIGKILL after `graceSeconds`; nothing happens when it is gone or ended. */
export async function stopContainer(
  engine: Engine,
  id: string,
  { graceSeconds, signal }: CallOptions & { graceSeconds: number },
): Promise<void> {
  const path = `/containers/${encodeURIComponent(id)}/stop`
  await engine.ask({ method: 'POST', path, query: { t: graceSeconds }, accept: [404], signal })
}

/** Kills and removes it with its anonymous volumes; nothing happens when it is gone or already going. */
export async function removeContainer(engine: Engine, id: string, options: CallOptions = {}): Promise<void> {
  const path = `/containers/${encodeURIComponent(id)}`
  await engine.ask({
    method: 'DELETE',
    path,
    query: { force: true, v: true },
    accept: [404, 409],
    signal: options.signal,
  })
}

/** The API's ContainerInspect; undefined: no such container. */
export async function inspectContainer(engine: Engine, id: string, options: CallOptions = {}): Promise<unknown> {
  const path = `/containers/${encodeURIComponent(id)}/json`
  const { status, value } = await engine.ask({ path, accept: [404], signal: options.signal })
  return status === 404 ? undefined : value
}

/** Running and ended ones that carry every label. */
export async function listContainers(
  engine: Engine,
  labels: Readonly<Record<string, string>>,
  options: CallOptions = {},
): Promise<ContainerListing[]> {
  const { value } = await engine.ask({
    path: '/containers/json',
    query: { all: true, filters: labelFilter(labels) },
    signal: options.signal,
  })
  return listAt(value).map((item) => ({
    id: textAt(item, 'Id'),
    name: String(listAt(item, 'Names')[0] ?? '').replace(/^\//, ''),
    state: textAt(item, 'State'),
    labels: textsOf(recordAt(item, 'Labels')),
  }))
}

/** Unpacks a tar at a folder of the container. */
export async function putArchive(
  engine: Engine,
  id: string,
  { path, archive, signal }: CallOptions & { path: string; archive: AsyncIterable<Uint8Array> },
): Promise<void> {
  await engine.ask({
    method: 'PUT',
    path: `/containers/${encodeURIComponent(id)}/archive`,
    query: { path },
    body: archive,
    signal,
  })
}

/** A file or folder of the container as a tar; undefined: no such path. */
export async function getArchive(
  engine: Engine,
  id: string,
  { path, signal }: CallOptions & { path: string },
): Promise<Uint8Array | undefined> {
  const answer = await engine.open({
    path: `/containers/${encodeURIComponent(id)}/archive`,
    query: { path },
    accept: [404],
    signal,
  })
  const bytes = await buffer(answer)
  return answer.status === 404 ? undefined : bytes
}
