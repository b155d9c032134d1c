/** A pod's own bridge network with a small subnet that nothing else on the machine uses. I/O. */
import { readFile } from 'node:fs/promises'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { createNetwork, inspectNetwork, listNetworks } from '@trusted-pods/platform/engine/networks.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { bridgeName, networkName, OWNER_LABEL, POD_LABEL, podLabels } from './pod-names.ts'
import { formatSubnet, freeSubnet, parseRoutes, parseSubnet, type Subnet } from './subnet.ts'

/** /28: a gateway, the pod, and what an engine reserves; 4096 of them in a /16. */
const POD_PREFIX = 28

export interface NetworkOptions {
  readonly owner: string
  readonly podNetwork: Subnet
  /** In CIDR notation, longest free first: subnets of pods that this process removed. */
  readonly freedSubnets: ReadonlySet<string>
  readonly signal?: AbortSignal | undefined
}

/** Makes the network unless it is there. @throws TrustedPodsError PROVISION_RUNTIME when its name is somebody else's. */
export async function ensureNetwork(engine: Engine, podId: string, options: NetworkOptions): Promise<void> {
  const { owner, signal } = options
  const name = networkName(podId)
  const found = await inspectNetwork(engine, name, { signal })
  if (!found) {
    const subnet = formatSubnet(await chooseSubnet(engine, podId, options))
    const labels = podLabels(owner, podId, 'network')
    await createNetwork(engine, name, { bridge: bridgeName(podId), subnet, labels, signal })
  } else if (found.labels[OWNER_LABEL] !== owner || found.labels[POD_LABEL] !== podId) {
    throw new TrustedPodsError('PROVISION_RUNTIME', `network ${name} belongs to another provider or pod`)
  }
}

/** Starts at a place that the pod id gives, so that providers of one machine that choose at once choose differently. A pod's
 * address stays unused as long as others are: a route or a check that is late does not find the next tenant there. */
async function chooseSubnet(engine: Engine, podId: string, options: NetworkOptions): Promise<Subnet> {
  const { podNetwork, signal } = options
  const networks = await listNetworks(engine, {}, { signal })
  const ofEngine = networks.flatMap(({ subnets }) => subnets.map(parseSubnet)).filter((subnet) => subnet !== undefined)
  // Without the file (another system) the engine's own list has to do.
  const routes = parseRoutes(await readFile('/proc/net/route', 'utf8').catch(() => ''))
  const start = Number.parseInt(podId.slice(0, 8), 16)
  const freed = [...options.freedSubnets].map(parseSubnet).filter((subnet) => subnet !== undefined)
  return freeSubnet(podNetwork, { prefix: POD_PREFIX, start, taken: [...ofEngine, ...routes], freed })
}
