/** Images of an engine: save, load, inspect, list, remove. I/O. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Engine, engineMessage, failed } from './engine-client.ts'
import { jsonLines } from './json-lines.ts'
import { at, listAt, textAt, textsAt } from './json-view.ts'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export interface ImageInspection {
  /** sha256:<hex>; of the config with a graph driver, of the manifest with the containerd store. */
  readonly id: string
  /** sha256:<hex> of each uncompressed layer, base first. */
  readonly diffIds: readonly string[]
  readonly tags: readonly string[]
  /** The `Config` part of the image config. */
  readonly config: unknown
}

/** The image as a tar that Docker and Podman write: manifest.json, a config, layers. Read to the end or abort.
 * @throws TrustedPodsError MANIFEST_IMAGE_NOT_FOUND when the engine has no such image. */
export async function saveImage(
  engine: Engine,
  name: string,
  options: CallOptions = {},
): Promise<AsyncIterable<Uint8Array>> {
  const path = `/images/${encodeURIComponent(name)}/get`
  if (!(await inspectImage(engine, name, options))) {
    throw new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', `the engine at ${engine.socket} has no image ${name}`)
  }
  return engine.open({ path, signal: options.signal })
}

/** Loads an archive. The engine says a failure inside an answer of 200: the answer is read to its end.
 * @throws TrustedPodsError PLATFORM_ENGINE_FAILED with the engine's reason, or whatever `archive` throws. */
export async function loadImage(
  engine: Engine,
  archive: AsyncIterable<Uint8Array>,
  options: CallOptions = {},
): Promise<void> {
  const answer = await engine.open({
    method: 'POST',
    path: '/images/load',
    query: { quiet: true },
    body: archive,
    signal: options.signal,
  })
  for await (const line of jsonLines(answer)) {
    if (at(line, 'errorDetail') !== undefined || textAt(line, 'error') !== '') {
      throw failed(`the engine refused the image: ${engineMessage(line)}`)
    }
  }
}

/** undefined: no such image. */
export async function inspectImage(
  engine: Engine,
  name: string,
  options: CallOptions = {},
): Promise<ImageInspection | undefined> {
  const path = `/images/${encodeURIComponent(name)}/json`
  const { status, value } = await engine.ask({ path, accept: [404], signal: options.signal })
  if (status === 404) return undefined
  return {
    id: textAt(value, 'Id'),
    diffIds: textsAt(value, 'RootFS', 'Layers'),
    tags: textsAt(value, 'RepoTags'),
    config: at(value, 'Config'),
  }
}

/** Every tag below a repository, as name:tag. */
export async function listImageTags(engine: Engine, repository: string, options: CallOptions = {}): Promise<string[]> {
  const { value } = await engine.ask({
    path: '/images/json',
    query: { filters: { reference: [repository] } },
    signal: options.signal,
  })
  const tags = listAt(value).flatMap((image) => textsAt(image, 'RepoTags'))
  return tags.filter((tag) => tag.startsWith(`${repository}:`))
}

/** Takes the name off, and the image with its last name; false when there was none or a container still needs it. */
export async function removeImage(engine: Engine, name: string, options: CallOptions = {}): Promise<boolean> {
  const { status } = await engine.ask({
    method: 'DELETE',
    path: `/images/${encodeURIComponent(name)}`,
    accept: [404, 409],
    signal: options.signal,
  })
  return status < 400
}
