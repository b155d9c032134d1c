/**
 * Secrets as files that only memory holds: a tmpfs volume that the infra container keeps mounted has one file, 0400, for
 * each user id that reads it, and each container sees its own file, read-only. No secret passes by argument, environment or
 * label: engines show those. I/O.
 */

import { createContainer, getArchive, putArchive, removeContainer } from '@trusted-pods/platform/engine/containers.ts'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { firstFile, oneChunk, packFiles } from '@trusted-pods/platform/engine/file-tar.ts'
import { inspectImage } from '@trusted-pods/platform/engine/images.ts'
import { textAt } from '@trusted-pods/platform/engine/json-view.ts'
import type { VolumeInspection } from '@trusted-pods/platform/engine/volumes.ts'
import { equalBytes } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { infraMountPath } from './infra-image.ts'
import { memberName, podLabels } from './pod-names.ts'
import type { ContainerSpec, PodSpec } from './pod-runtime.ts'

export interface SecretContext {
  readonly owner: string
  readonly infraId: string
  readonly volumes: readonly VolumeInspection[]
  /** Those found before, by image. */
  readonly userIds: Map<string, number>
  readonly signal?: AbortSignal | undefined
}

export interface PlacedSecrets {
  /** Path on the engine's machine, by volume index. */
  readonly files: ReadonlyMap<number, string>
  /** Whether any was written: a container that has the old file must be made again. */
  readonly changed: boolean
}

/** Puts the secrets that a container mounts where it will see them; those that are there already are left alone. */
export async function placeSecrets(
  engine: Engine,
  { pod, container }: { pod: PodSpec; container: ContainerSpec },
  context: SecretContext,
): Promise<PlacedSecrets> {
  const mounted = container.mounts.filter(({ volume }) => pod.volumes[volume]?.kind === 'secret')
  const files = new Map<number, string>()
  let changed = false
  const uid = mounted.length > 0 ? await knownUserId(engine, { pod, container }, context) : 0
  for (const { volume } of mounted) {
    const file = `uid-${uid}`
    const content = pod.volumes[volume]?.secret ?? new Uint8Array()
    if (await writeSecret(engine, { folder: infraMountPath(volume), file, uid, content }, context)) changed = true
    files.set(volume, `${context.volumes[volume]?.mountpoint}/${file}`)
  }
  return { files, changed }
}

/** Whether it was not there before with this very content. */
async function writeSecret(
  engine: Engine,
  { folder, file, uid, content }: { folder: string; file: string; uid: number; content: Uint8Array },
  { infraId, signal }: SecretContext,
): Promise<boolean> {
  const held = await getArchive(engine, infraId, { path: `${folder}/${file}`, signal })
  const bytes = held && (await firstFile(held))
  if (bytes && equalBytes(bytes, content)) return false
  const archive = await packFiles([{ kind: 'file', path: file, mode: 0o400, uid, content }])
  await putArchive(engine, infraId, { path: folder, archive: oneChunk(archive), signal })
  return true
}

async function knownUserId(
  engine: Engine,
  { pod, container }: { pod: PodSpec; container: ContainerSpec },
  context: SecretContext,
): Promise<number> {
  const uid = context.userIds.get(container.image) ?? (await userIdOf(engine, { pod, container }, context))
  context.userIds.set(container.image, uid)
  return uid
}

/** The user id that the image's `User` means; a name is looked up in the image's own /etc/passwd.
 * @throws TrustedPodsError PROVISION_IMAGE_REFUSED when it does not have it. */
async function userIdOf(
  engine: Engine,
  { pod, container }: { pod: PodSpec; container: ContainerSpec },
  context: SecretContext,
): Promise<number> {
  const image = await inspectImage(engine, container.image, context)
  const user = textAt(image?.config, 'User').split(':', 1)[0] ?? ''
  if (user === '') return 0
  const numeric = /^\d{1,10}$/.test(user) ? user : undefined
  const uid = Number(numeric ?? lookUpUser(await readPasswd(engine, { pod, container }, context), user) ?? Number.NaN)
  if (Number.isInteger(uid)) return uid
  throw new TrustedPodsError(
    'PROVISION_IMAGE_REFUSED',
    `the image of ${container.name} runs as user "${user.slice(0, 64)}", which its /etc/passwd does not have`,
  )
}

/** name:password:uid:… of passwd(5). */
export function lookUpUser(passwd: string, user: string): string | undefined {
  const fields = passwd.split('\n').map((line) => line.split(':'))
  const uid = fields.find(([name]) => name === user)?.[2]
  return uid !== undefined && /^\d{1,10}$/.test(uid) ? uid : undefined
}

/** Through a container that is made of the image and never started. */
async function readPasswd(
  engine: Engine,
  { pod, container }: { pod: PodSpec; container: ContainerSpec },
  { owner, signal }: SecretContext,
): Promise<string> {
  const name = `${memberName(pod.podId, container.name)}.probe`
  await removeContainer(engine, name, { signal })
  const body = {
    Image: container.image,
    Cmd: ['never'],
    Labels: podLabels(owner, pod.podId, 'probe'),
    HostConfig: { NetworkMode: 'none' },
  }
  const id = await createContainer(engine, name, { body, signal })
  try {
    const archive = await getArchive(engine, id, { path: '/etc/passwd', signal })
    const file = archive && (await firstFile(archive))
    return file ? Buffer.from(file).toString('utf8') : ''
  } finally {
    await removeContainer(engine, id)
  }
}
