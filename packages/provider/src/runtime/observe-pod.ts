/** A pod as the engine has it. I/O. */
import { type ContainerListing, inspectContainer, listContainers } from '@trusted-pods/platform/engine/containers.ts'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { listAt, numberAt, recordAt, textAt } from '@trusted-pods/platform/engine/json-view.ts'
import { listNetworks } from '@trusted-pods/platform/engine/networks.ts'
import { listVolumes } from '@trusted-pods/platform/engine/volumes.ts'
import { isPodId, NAME_LABEL, networkName, OWNER_LABEL, POD_LABEL, PORT_LABEL, ROLE_LABEL } from './pod-names.ts'
import type { ContainerObservation, PodObservation } from './pod-runtime.ts'

export interface PodParts {
  readonly infra?: ContainerListing
  readonly members: readonly ContainerListing[]
  /** What else carries the pod's label: a probe that a killed run left. */
  readonly others: readonly ContainerListing[]
}

export interface ObserveOptions {
  readonly owner: string
  /** Starts of a container beyond its first that this process has seen to, by container id. */
  readonly restarts: ReadonlyMap<string, number>
  readonly signal?: AbortSignal | undefined
}

export async function findParts(
  engine: Engine,
  podId: string,
  { owner, signal }: Pick<ObserveOptions, 'owner' | 'signal'>,
): Promise<PodParts> {
  const all = await listContainers(engine, { [OWNER_LABEL]: owner, [POD_LABEL]: podId }, { signal })
  const byRole = Map.groupBy(all, ({ labels }) => labels[ROLE_LABEL])
  const [infra, members] = [byRole.get('infra')?.[0], byRole.get('member') ?? []]
  const others = all.filter((container) => container !== infra && !members.includes(container))
  return { ...(infra && { infra }), members, others }
}

/** undefined: the engine has no part of it, neither container nor network nor volume. */
export async function observePod(
  engine: Engine,
  podId: string,
  options: ObserveOptions,
): Promise<PodObservation | undefined> {
  const parts = await findParts(engine, podId, options)
  const infra = parts.infra && (await inspectContainer(engine, parts.infra.id, options))
  const isUp = textAt(infra, 'State', 'Status') === 'running'
  const containers = await Promise.all(
    parts.members.map((member) => observeMember(engine, member, { ...options, isUp })),
  )
  const address = textAt(infra, 'NetworkSettings', 'Networks', networkName(podId), 'IPAddress')
  const isNothing = !parts.infra && containers.length === 0
  if (isNothing && !(await listPodIds(engine, options)).includes(podId)) return undefined
  return { podId, containers, ...(isUp && address !== '' && { address }), published: isUp ? publishedPorts(infra) : [] }
}

/** Pods of this owner that the engine has any part of. */
export async function listPodIds(
  engine: Engine,
  { owner, signal }: Pick<ObserveOptions, 'owner' | 'signal'>,
): Promise<string[]> {
  const filter = { [OWNER_LABEL]: owner }
  const objects = await Promise.all([
    listContainers(engine, filter, { signal }),
    listNetworks(engine, filter, { signal }),
    listVolumes(engine, filter, { signal }),
  ])
  return [...new Set(objects.flat().map(({ labels }) => labels[POD_LABEL] ?? ''))].filter(isPodId).sort()
}

async function observeMember(
  engine: Engine,
  { id, labels }: ContainerListing,
  { restarts, isUp, signal }: ObserveOptions & { isUp: boolean },
): Promise<ContainerObservation> {
  const inspection = await inspectContainer(engine, id, { signal })
  const name = labels[NAME_LABEL] ?? ''
  const state = stateOf(textAt(inspection, 'State', 'Status'), isUp)
  const exitCode = state === 'exited' ? { exitCode: numberAt(inspection, 'State', 'ExitCode') } : {}
  return { name, state, ...exitCode, restarts: restarts.get(id) ?? 0 }
}

/** A member without its infra container has no network but `lo`: it has yet to be started again. */
function stateOf(status: string, isUp: boolean): ContainerObservation['state'] {
  if (status === 'exited' || status === 'dead' || status === 'removing') return 'exited'
  if (status === 'running' || status === 'paused') return isUp ? 'running' : 'created'
  return status === 'created' || status === 'restarting' ? 'created' : 'unknown'
}

function publishedPorts(infra: unknown): PodObservation['published'] {
  const labels = recordAt(infra, 'Config', 'Labels')
  return Object.entries(recordAt(infra, 'NetworkSettings', 'Ports')).flatMap(([key, bindings]) =>
    listAt(bindings).map((binding) => ({
      container: textAt(labels, PORT_LABEL + key),
      targetPort: Number.parseInt(key, 10),
      protocol: key.endsWith('/udp') ? ('udp' as const) : ('tcp' as const),
      hostIp: textAt(binding, 'HostIp'),
      hostPort: Number(textAt(binding, 'HostPort')),
    })),
  )
}
