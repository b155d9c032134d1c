/** What a provider checks on a Pod that a stranger sent, before it acts on any of it. What the pod asks for in all is
 * compared with the quote elsewhere. Spec: spec/MANIFEST.md#check. Pure. */
import { type Pod, type Replicas, type Volume, VolumeType } from '../gen/trustedpods/v0/pod_pb.ts'
import { MAX_CONTAINERS, MAX_SECRET_BYTES, MAX_VOLUMES } from '../wire/protocols.ts'
import { checkContainer, checkListLength, refuse, show } from './check-container.ts'
import { MAX_REPLICAS } from './manifest.ts'
import { isSelector, SELECTOR } from './names.ts'
import { portsClash, toPortManifest } from './ports-clash.ts'
import { MAX_QUANTITY } from './quantity.ts'
import { podResources } from './resources.ts'

/** Lines of a price table. spec/PRICING.md */
const MAX_PRICES = 64

/** @throws TrustedPodsError PROVISION_BAD_POD naming the first place that is wrong, what is there and what may be. */
export function checkPod(pod: Pod): void {
  checkListLength('containers', pod.containers, { min: 1, max: MAX_CONTAINERS })
  checkListLength('volumes', pod.volumes, { min: 0, max: MAX_VOLUMES })
  for (const [index, volume] of pod.volumes.entries()) checkVolume(volume, `volumes[${index}]`)
  for (const [index, container] of pod.containers.entries()) checkContainer(container, `containers[${index}]`, { pod })
  checkNames(pod)
  checkPortsOfAll(pod)
  checkReplicas(pod.replicas, pod)
  checkAgreement(pod)
  for (const { name, quantity } of podResources(pod)) {
    if (quantity > MAX_QUANTITY) refuse('resources', `${quantity} of ${show(name)} in all`, `at most ${MAX_QUANTITY}`)
  }
}

function checkVolume(volume: Volume, path: string): void {
  const { type, storageBytes, storageClass, secret } = volume
  if (storageClass !== '' && (type === VolumeType.SECRET || !isSelector(storageClass)))
    refuse(
      `${path}.storage_class`,
      show(storageClass),
      type === VolumeType.SECRET ? 'a secret has none' : `wanted ${SELECTOR}`,
    )
  if (type === VolumeType.SECRET) {
    if (storageBytes !== 0n) refuse(`${path}.storage_bytes`, String(storageBytes), 'a secret has 0')
    if (secret.length > MAX_SECRET_BYTES)
      refuse(`${path}.secret`, `${secret.length} bytes`, `at most ${MAX_SECRET_BYTES}`)
    return
  }
  if (type !== VolumeType.VOLUME && type !== VolumeType.EMPTY_DIR) {
    refuse(`${path}.type`, String(type), 'wanted 1 (volume), 2 (empty directory) or 3 (secret)')
  }
  if (secret.length > 0) refuse(`${path}.secret`, `${secret.length} bytes`, 'only a secret has content')
  if (storageBytes === 0n || storageBytes > MAX_QUANTITY) {
    refuse(`${path}.storage_bytes`, String(storageBytes), `wanted 1 to ${MAX_QUANTITY}`)
  }
}

function checkNames(pod: Pod): void {
  const seen = new Map<string, number>()
  for (const [index, { name }] of pod.containers.entries()) {
    const other = seen.get(name)
    if (other !== undefined) refuse(`containers[${index}].name`, show(name), `containers[${other}] has that name`)
    seen.set(name, index)
  }
}

/** No host name twice, and no published port twice at overlapping addresses, in the whole pod. */
function checkPortsOfAll(pod: Pod): void {
  const all = pod.containers.flatMap((container, owner) =>
    container.ports.map((port, index) => ({
      port: toPortManifest(port),
      path: `containers[${owner}].ports[${index}]`,
    })),
  )
  for (const [index, { port, path }] of all.entries()) {
    const other = all.slice(0, index).find((earlier) => portsClash(earlier.port, port))
    if (other === undefined) continue
    if (port.httpHost !== '') refuse(`${path}.http_host`, show(port.httpHost), `${other.path} has that host`)
    refuse(`${path}.port`, `${port.port}/${port.protocol}`, `${other.path} has that port`)
  }
}

function checkReplicas(replicas: Replicas | undefined, pod: Pod): void {
  if (replicas === undefined) refuse('replicas', 'absent', 'wanted min and max')
  const { min, max } = replicas
  if (max < 1 || max > MAX_REPLICAS) refuse('replicas.max', String(max), `wanted 1 to ${MAX_REPLICAS}`)
  if (min > max) refuse('replicas.min', String(min), `at most max, which is ${max}`)
  const hasHost = pod.containers.some((container) => container.ports.some((port) => port.httpHost !== ''))
  if (min === 0 && !hasHost) refuse('replicas.min', '0', 'a pod sleeps only behind an HTTP host, and none is given')
}

/** Shapes only: that they are the quote's own is checked against the quote. */
function checkAgreement(pod: Pod): void {
  const { length } = pod.quoteDigest
  if (length !== 0 && length !== 32) refuse('quote_digest', `${length} bytes`, 'wanted 32, or none')
  if (pod.pricing !== undefined) checkListLength('pricing.prices', pod.pricing.prices, { min: 0, max: MAX_PRICES })
}
