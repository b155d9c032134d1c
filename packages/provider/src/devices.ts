/** GPUs, each a whole device that one pod has and no other: which are free, and who gets which. Spec: docs/run-a-provider.md#gpus. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Pod } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { ResourceAmount } from '@trusted-pods/protocol/pricing/price.ts'
import type { DeviceAccess } from './runtime/pod-runtime.ts'

export const GPU = 'nvidia.com/gpu'

export interface Device {
  /** What the configuration calls it. */
  readonly id: string
  /** What prices and pods call it; empty: it has no name of its own. */
  readonly model: string
  readonly access: DeviceAccess
}

/** A device, and the container that has it. */
export interface GivenDevice extends Device {
  readonly container: string
}

/** How many of each model there are. */
export function offeredGpus(devices: readonly Device[]): ResourceAmount[] {
  return [...Map.groupBy(devices, ({ model }) => model)].map(([selector, all]) => ({
    name: GPU,
    selector,
    quantity: BigInt(all.length),
  }))
}

/** What a pod holds in fact, where it asked for GPUs of any model. */
export function heldResources(resources: readonly ResourceAmount[], given: readonly GivenDevice[]): ResourceAmount[] {
  return given.length === 0 ? [...resources] : [...resources.filter(({ name }) => name !== GPU), ...offeredGpus(given)]
}

export interface ChoiceOptions {
  /** What live pods have, as the configuration called it then. */
  readonly taken: readonly Device[]
  /** Devices of each model that quotes hold by its name. */
  readonly held: (model: string) => bigint
}

/**
 * One device for each GPU that a container asks for: those of a named model first, the others from the model of which most are free
 * beside what quotes hold.
 * @throws TrustedPodsError QUOTE_NO_CAPACITY when there are not enough.
 */
export function chooseDevices(pod: Pod, devices: readonly Device[], { taken, held }: ChoiceOptions): GivenDevice[] {
  const free = devices.filter((device) => !taken.some((other) => isSame(device, other)))
  const given: GivenDevice[] = []
  const take = (container: string, model: string) => {
    const at = free.findIndex((device) => device.model === model)
    const [device] = at < 0 ? [] : free.splice(at, 1)
    if (!device) throw new TrustedPodsError('QUOTE_NO_CAPACITY', `no GPU${model && ` ${model}`} is free any more`)
    given.push({ ...device, container })
  }
  const demands = demandsOf(pod)
  for (const { container, model } of demands.filter(({ model }) => model !== '')) take(container, model)
  for (const { container } of demands.filter(({ model }) => model === '')) take(container, mostFree(free, held))
  return given
}

/** By its name, or by what the engine is told, should the configuration have named it anew. */
function isSame(a: Device, b: Device): boolean {
  if (a.id === b.id) return true
  if (a.access.kind !== 'nodes' || b.access.kind !== 'nodes')
    return JSON.stringify(a.access) === JSON.stringify(b.access)
  const { paths } = b.access
  return a.access.paths.some((path) => paths.includes(path))
}

function mostFree(free: readonly Device[], held: ChoiceOptions['held']): string {
  const spare = offeredGpus(free).map(({ selector, quantity }) => ({ selector, left: quantity - held(selector) }))
  spare.sort((a, b) => (a.left === b.left ? 0 : a.left > b.left ? -1 : 1))
  return spare[0]?.selector ?? ''
}

function demandsOf({ containers }: Pod): { container: string; model: string }[] {
  return containers.flatMap(({ name: container, resources }) =>
    resources
      .filter(({ name }) => name === GPU)
      .flatMap(({ quantity, selector: model }) =>
        Array.from({ length: Number(quantity) }, () => ({ container, model })),
      ),
  )
}
