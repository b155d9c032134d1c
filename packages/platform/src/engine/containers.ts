/** Containers of an engine: create, start, end, inspect, list, files. I/O. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Engine, labelFilter } from './engine-client.ts'
import type { CallOptions } from './images.ts'
import { listAt, recordAt, textAt, textsOf } from './json-view.ts'

/** 1 MiB: an /etc/passwd of thousands of users, or a secret; what an image's author put at a path may be of any size. */
const MAX_ARCHIVE_BYTES = 1024 * 1024

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

/** A file or folder of the container as a tar; undefined: no such path. @param maxBytes of the tar; 1 MiB.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED when it is larger; no more than that is read. */
export async function getArchive(
  engine: Engine,
  id: string,
  { path, maxBytes = MAX_ARCHIVE_BYTES, signal }: CallOptions & { path: string; maxBytes?: number },
): Promise<Uint8Array | undefined> {
  const answer = await engine.open({
    path: `/containers/${encodeURIComponent(id)}/archive`,
    query: { path },
    accept: [404],
    signal,
  })
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of answer) {
    length += chunk.length
    if (length > maxBytes) {
      const seen = `${path} of the container is over ${maxBytes} bytes as a tar, at most that many are wanted`
      throw new TrustedPodsError('PROVISION_IMAGE_REFUSED', seen)
    }
    chunks.push(chunk)
  }
  return answer.status === 404 ? undefined : Buffer.concat(chunks)
}
