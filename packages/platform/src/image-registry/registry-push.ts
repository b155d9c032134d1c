/** Puts what stands on a stage into a registry: blobs that it lacks, then manifests, the named one last. Spec: spec/IMAGES.md#registry. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { invalidImage } from '@trusted-pods/protocol/image/invalid-image.ts'
import type { Blob, ReadOptions } from '../images/image-reader.ts'
import { type LayoutStage, readStaged } from '../images/layout-stage.ts'
import { isManifestType, ROOT_TYPES } from '../images/manifest-types.ts'
import { stagedBlobs } from '../images/staged-blobs.ts'
import { connectRegistry, type RegistryConnection, type RegistryOptions, unexpected } from './registry-connection.ts'
import { type HttpAnswer, registryFailed } from './registry-http.ts'
import { registryName } from './registry-name.ts'

export interface PushOptions extends RegistryOptions {
  /** Whether a tag that is there already is moved. */
  readonly replace: boolean
}

/** @throws TrustedPodsError PLATFORM_CONFIG where the tag is taken, PLATFORM_IMAGE_LOGIN, PLATFORM_IMAGE_REGISTRY. */
export async function pushImage(text: string, stage: LayoutStage, { root, ...options }: PushOptions & { root: Blob }) {
  const { connection, reference } = await openTarget(text, options)
  if (!options.replace) await checkFree(connection, { text, reference, ...options })
  for (const blob of await stagedBlobs(stage, root)) {
    if (!isManifestType(blob.mediaType)) await pushBlob(connection, stage, { blob, ...options })
    else await putManifest(connection, stage, { blob, reference: blob.digest, ...options })
  }
  await putManifest(connection, stage, { blob: root, reference, ...options })
}

/** @throws TrustedPodsError PLATFORM_CONFIG where the tag is taken, and as `pushImage`. */
export async function refuseTakenReference(text: string, options: RegistryOptions): Promise<void> {
  const { connection, reference } = await openTarget(text, options)
  await checkFree(connection, { text, reference, signal: options.signal })
}

async function openTarget(text: string, options: RegistryOptions) {
  const name = registryName(text)
  if (name.digest !== undefined) throw invalidImage(`docker://${text}: a digest cannot be chosen, name a tag`)
  return { connection: await connectRegistry(name, 'pull,push', options), reference: name.reference }
}

async function checkFree(
  connection: RegistryConnection,
  { text, reference, signal }: ReadOptions & { text: string; reference: string },
): Promise<void> {
  const answer = await connection(`manifests/${reference}`, {
    method: 'HEAD',
    headers: { accept: ROOT_TYPES.join(', ') },
    signal,
  })
  await answer.cancel()
  if (answer.status === 200)
    throw new TrustedPodsError('PLATFORM_CONFIG', `docker://${text} is there already: --force moves the tag`)
}

interface PushedBlob extends ReadOptions {
  readonly blob: Blob
}

async function pushBlob(connection: RegistryConnection, stage: LayoutStage, { blob, signal }: PushedBlob) {
  const held = await connection(`blobs/${blob.digest}`, { method: 'HEAD', signal })
  await held.cancel()
  if (held.status === 200) return
  const started = await connection('blobs/uploads/', { method: 'POST', signal })
  if (started.status !== 202) throw await unexpected('an upload', started)
  const target = uploadAddress(started, blob)
  await started.cancel()
  const headers = { 'content-type': 'application/octet-stream', 'content-length': `${blob.size}` }
  const done = await connection(target, { method: 'PUT', headers, body: stage.open(blob.digest), signal })
  if (done.status !== 201) throw await unexpected(`blob ${blob.digest}`, done)
  await done.cancel()
}

function uploadAddress({ headers, url }: HttpAnswer, { digest }: Blob): URL {
  const location = headers.get('location')
  if (location === null || !URL.canParse(location, url))
    throw registryFailed(`${url.host} names no address for an upload`)
  const target = new URL(location, url)
  target.searchParams.set('digest', digest)
  return target
}

async function putManifest(
  connection: RegistryConnection,
  stage: LayoutStage,
  { blob, reference, signal }: PushedBlob & { reference: string },
): Promise<void> {
  const headers = { 'content-type': blob.mediaType }
  const body = Uint8Array.from(await readStaged(stage, blob))
  const answer = await connection(`manifests/${reference}`, { method: 'PUT', headers, body, signal })
  if (answer.status !== 201) throw await unexpected(`manifest ${reference}`, answer)
  await answer.cancel()
}
