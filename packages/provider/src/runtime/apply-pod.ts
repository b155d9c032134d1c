/**
 * Brings a pod to what its spec says: whatever is there and as wanted stays, the rest is made again. Each step looks at the
 * engine first, so that a run that was killed anywhere is simply done again. I/O. Spec: docs/runtime.md#apply.
 */
import {
  type ContainerListing,
  createContainer,
  inspectContainer,
  removeContainer,
  startContainer,
  stopContainer,
} from '@trusted-pods/platform/engine/containers.ts'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { inspectImage } from '@trusted-pods/platform/engine/images.ts'
import { textAt } from '@trusted-pods/platform/engine/json-view.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type RenderContext, type RenderedContainer, renderInfra, renderMember } from './container-spec.ts'
import { findParts } from './observe-pod.ts'
import { NAME_LABEL, SPEC_LABEL } from './pod-names.ts'
import { ensureNetwork } from './pod-network.ts'
import type { ContainerSpec, PodSpec } from './pod-runtime.ts'
import { placeSecrets } from './pod-secrets.ts'
import { ensureVolumes } from './pod-volumes.ts'
import type { Subnet } from './subnet.ts'
import { requireAsCreated } from './verify-created.ts'
import type { VolumeDisks } from './volume-disks.ts'

export interface ApplyContext extends RenderContext {
  readonly podNetwork: Subnet
  readonly freedSubnets: ReadonlySet<string>
  readonly disks: VolumeDisks | undefined
  readonly imageRepository: string
  /** Counts the starts of a container beyond its first. */
  readonly restarts: Map<string, number>
  /** User ids that images run as; an image's name says its content, so they hold for good. */
  readonly userIds: Map<string, number>
  /** Sees that the firewall and the infra container's image are there: another process of this provider may have taken
   * them away with what it took for the last pod. */
  readonly prepare: () => Promise<void>
  readonly signal?: AbortSignal | undefined
}

/** @throws TrustedPodsError PROVISION_RUNTIME_MISMATCH, PROVISION_IMAGE_REFUSED, PROVISION_BAD_POD,
 * PROVISION_CONTAINER_EXITED for a command that cannot be started. */
export async function applyPod(engine: Engine, pod: PodSpec, context: ApplyContext): Promise<void> {
  for (const container of pod.containers) requireOwnImage(container, context)
  await ensureNetwork(engine, pod.podId, context)
  const volumes = await ensureVolumes(engine, pod, context)
  await removeStrangers(engine, pod, context)
  const infraId = await ensureInfra(engine, pod, context)
  for (const container of pod.containers) {
    const secrets = await placeSecrets(engine, { pod, container }, { ...context, infraId, volumes })
    const rendered = renderMember(pod, container, { ...context, infraId, secretFiles: secrets.files })
    await ensureMember(engine, rendered, { ...context, podId: pod.podId, again: secrets.changed })
  }
}

function requireOwnImage({ name, image }: ContainerSpec, { imageRepository }: ApplyContext): void {
  if (image.startsWith(`${imageRepository}:`) && /:[0-9a-f]{64}$/.test(image)) return
  throw new TrustedPodsError(
    'PROVISION_IMAGE_REFUSED',
    `container ${name} names image ${image.slice(0, 120)}, one that was imported as ${imageRepository}:<digest> is wanted`,
  )
}

/** Containers of the pod that its spec does not have. */
async function removeStrangers(engine: Engine, pod: PodSpec, context: ApplyContext): Promise<void> {
  const { members, others } = await findParts(engine, pod.podId, context)
  const wanted = new Set(pod.containers.map(({ name }) => name))
  const strangers = members.filter(({ labels }) => !wanted.has(labels[NAME_LABEL] ?? ''))
  for (const { id } of [...strangers, ...others]) await removeContainer(engine, id, { signal: context.signal })
}

/** Its id, once it runs. Members of one that does not run, or is made again, have lost their network: they are ended. */
async function ensureInfra(engine: Engine, pod: PodSpec, context: ApplyContext): Promise<string> {
  const { signal } = context
  const rendered = renderInfra(pod, context)
  const { infra, members } = await findParts(engine, pod.podId, context)
  if (infra && isAsWanted(infra, rendered) && infra.state === 'running') return infra.id
  for (const { id } of members) await stopContainer(engine, id, { graceSeconds: 0, signal })
  if (infra && isAsWanted(infra, rendered)) return startVerified(engine, infra.id, { rendered, signal })
  if (infra) {
    for (const { id } of members) await removeContainer(engine, id, { signal })
    await removeContainer(engine, infra.id, { signal })
  }
  await context.prepare()
  return createVerified(engine, rendered, { signal })
}

async function ensureMember(
  engine: Engine,
  rendered: RenderedContainer,
  { podId, again, restarts, ...context }: ApplyContext & { podId: string; again: boolean },
): Promise<void> {
  const { signal } = context
  const { members } = await findParts(engine, podId, context)
  const member = members.find(({ labels }) => labels[NAME_LABEL] === rendered.member)
  const isRunning = member?.state === 'running'
  if (member && isAsWanted(member, rendered) && !(again && isRunning)) {
    if (isRunning) return
    if (member.state === 'exited') restarts.set(member.id, (restarts.get(member.id) ?? 0) + 1)
    await startVerified(engine, member.id, { rendered, signal })
    return
  }
  if (member) await removeContainer(engine, member.id, { signal })
  await createVerified(engine, rendered, { signal })
}

/** One that its engine is half way through removing or could not end is of no use. */
function isAsWanted({ labels, state }: ContainerListing, { body }: RenderedContainer): boolean {
  return labels[SPEC_LABEL] === body.Labels[SPEC_LABEL] && ['created', 'running', 'exited'].includes(state)
}

interface StartOptions {
  readonly signal?: AbortSignal | undefined
}

async function createVerified(engine: Engine, rendered: RenderedContainer, { signal }: StartOptions): Promise<string> {
  const id = await createContainer(engine, rendered.name, { body: rendered.body, signal })
  return startVerified(engine, id, { rendered, signal })
}

/** Compared before it starts, so that nothing of the tenant's runs without its limits, and after. */
async function startVerified(
  engine: Engine,
  id: string,
  { rendered, signal }: StartOptions & { rendered: RenderedContainer },
): Promise<string> {
  const image = await inspectImage(engine, textAt(rendered.body, 'Image'), { signal })
  const imageId = image?.id ?? 'an image that the engine has'
  requireAsCreated(rendered, { inspection: await inspectContainer(engine, id, { signal }), imageId })
  try {
    await startContainer(engine, id, { signal })
  } catch (error) {
    throw startFailure(rendered, error)
  }
  requireAsCreated(rendered, { inspection: await inspectContainer(engine, id, { signal }), imageId })
  return id
}

/** Engines tell a command that is not there from other failures only by their words (runc, crun, runsc). */
function startFailure({ member }: RenderedContainer, error: unknown): unknown {
  const said = error instanceof Error ? error.message : ''
  if (!member || !/executable file not found|no such file or directory|exec format error/i.test(said)) return error
  const message = `container ${member} could not start: its image does not have the command, or not for this machine`
  return new TrustedPodsError('PROVISION_CONTAINER_EXITED', message, { cause: error })
}
