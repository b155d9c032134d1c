/** One container of a Pod that a stranger sent. Spec: spec/MANIFEST.md#check. Pure. */
import { CID } from 'multiformats/cid'
import { TrustedPodsError } from '../errors.ts'
import {
  type Container,
  type EnvVar,
  type Image,
  type Pod,
  type Port,
  PortProtocol,
  type Resource,
  type VolumeMount,
  VolumeType,
} from '../gen/trustedpods/v0/pod_pb.ts'
import { MAX_SOURCES, parseSourceAddress, SOURCE_ADDRESS } from '../image/source-address.ts'
import { MAX_ARGS, MAX_ENV, MAX_MOUNTS, MAX_PORTS, MAX_RESOURCES } from '../wire/protocols.ts'
import { mountsClash } from './mounts-clash.ts'
import {
  DNS_LABEL,
  ENV_NAME,
  HOST_NAME,
  IP_ADDRESS,
  isDnsLabel,
  isEnvName,
  isHostName,
  isIpAddress,
  isSelector,
  SELECTOR,
  whyBadMountPath,
  whyBadPath,
  whyBadText,
} from './names.ts'
import { MAX_QUANTITY } from './quantity.ts'
import { CONTAINER_RESOURCE_NAMES, isResourceName, resourceKind } from './resource-names.ts'

/** A CIDv1 of SHA-256 has 36 bytes; longer hashes are known. */
const MAX_CID_BYTES = 128
/** PKCS#8 of a P-256 key has 138 bytes. */
const MAX_KEY_BYTES = 1024
/** Longest text of a stranger's that a message repeats. */
const MAX_SHOWN = 64

/** @throws TrustedPodsError PROVISION_BAD_POD */
export function checkContainer(container: Container, path: string, options: { readonly pod: Pod }): void {
  if (!isDnsLabel(container.name)) refuse(`${path}.name`, show(container.name), `wanted ${DNS_LABEL}`)
  checkImage(container.image, `${path}.image`)
  for (const key of ['command', 'args'] as const) checkWords(container[key], `${path}.${key}`)
  const badDir = container.workingDir === '' ? undefined : whyBadPath(container.workingDir)
  if (badDir !== undefined) refuse(`${path}.working_dir`, show(container.workingDir), badDir)
  checkListLength(`${path}.ports`, container.ports, { min: 0, max: MAX_PORTS })
  for (const [index, port] of container.ports.entries()) checkPort(port, `${path}.ports[${index}]`)
  checkEnv(container.env, `${path}.env`)
  checkMounts(container.mounts, `${path}.mounts`, options)
  checkResources(container.resources, `${path}.resources`)
}

function checkImage(image: Image | undefined, path: string): void {
  if (image === undefined) refuse(path, 'absent', 'wanted a CID and a private key')
  checkCid(image.cid, `${path}.cid`)
  const { length } = image.privateKey
  if (length === 0 || length > MAX_KEY_BYTES)
    refuse(`${path}.private_key`, `${length} bytes`, `wanted 1 to ${MAX_KEY_BYTES}`)
  checkListLength(`${path}.sources`, image.sources, { min: 0, max: MAX_SOURCES })
  for (const [index, source] of image.sources.entries())
    if (!parseSourceAddress(source)) refuse(`${path}.sources[${index}]`, show(source), `wanted ${SOURCE_ADDRESS}`)
}

function checkCid(bytes: Uint8Array, path: string): void {
  if (bytes.length > MAX_CID_BYTES) refuse(path, `${bytes.length} bytes`, `at most ${MAX_CID_BYTES}`)
  let version: number
  try {
    version = CID.decode(bytes).version
  } catch (error) {
    throw badPod(path, `${bytes.length} bytes that are no CID`, 'wanted a binary CIDv1', error)
  }
  if (version !== 1) refuse(path, `a CIDv${version}`, 'wanted a CIDv1')
}

function checkWords(words: readonly string[], path: string): void {
  checkListLength(path, words, { min: 0, max: MAX_ARGS })
  for (const [index, word] of words.entries()) {
    const bad = whyBadText(word)
    if (bad !== undefined) refuse(`${path}[${index}]`, `the word ${bad}`, 'wanted text that a program can be given')
  }
}

function checkPort(port: Port, path: string): void {
  checkPortNumber(port.port, `${path}.port`)
  checkPortNumber(port.targetPort, `${path}.target_port`)
  if (port.protocol !== PortProtocol.TCP && port.protocol !== PortProtocol.UDP) {
    refuse(`${path}.protocol`, String(port.protocol), 'wanted 1 (TCP) or 2 (UDP)')
  }
  if (port.hostIp !== '' && !isIpAddress(port.hostIp))
    refuse(`${path}.host_ip`, show(port.hostIp), `wanted ${IP_ADDRESS}`)
  if (port.httpHost === '') return
  if (!isHostName(port.httpHost)) refuse(`${path}.http_host`, show(port.httpHost), `wanted ${HOST_NAME}`)
  if (port.protocol !== PortProtocol.TCP) refuse(`${path}.http_host`, show(port.httpHost), 'only a TCP port has a host')
  if (port.hostIp !== '') refuse(`${path}.host_ip`, show(port.hostIp), 'the HTTP front has its own address')
}

function checkPortNumber(number: number, path: string): void {
  if (number < 1 || number > 65535) refuse(path, String(number), 'wanted 1 to 65535')
}

/** Values are never part of a message. */
function checkEnv(env: readonly EnvVar[], path: string): void {
  checkListLength(path, env, { min: 0, max: MAX_ENV })
  const seen = new Set<string>()
  for (const [index, { name, value }] of env.entries()) {
    if (!isEnvName(name)) refuse(`${path}[${index}].name`, show(name), `wanted ${ENV_NAME}`)
    if (seen.has(name)) refuse(`${path}[${index}].name`, show(name), 'set twice')
    seen.add(name)
    const bad = whyBadText(`${name}=${value}`)
    if (bad !== undefined)
      refuse(`${path}[${index}].value`, `the value ${bad}`, 'wanted text that a program can be given')
  }
}

function checkMounts(mounts: readonly VolumeMount[], path: string, { pod }: { readonly pod: Pod }): void {
  checkListLength(path, mounts, { min: 0, max: MAX_MOUNTS })
  const isSecret = (volume: number) => pod.volumes[volume]?.type === VolumeType.SECRET
  for (const [index, mount] of mounts.entries()) {
    const { volume, mountPath } = mount
    const count = pod.volumes.length
    if (volume >= count) {
      refuse(`${path}[${index}].volume`, String(volume), `the pod has ${count} ${count === 1 ? 'volume' : 'volumes'}`)
    }
    const bad = whyBadMountPath(mountPath)
    if (bad !== undefined) refuse(`${path}[${index}].mount_path`, show(mountPath), bad)
    const other = mounts.slice(0, index).findIndex((earlier) => mountsClash(earlier, mount, isSecret))
    if (other >= 0) refuse(`${path}[${index}].mount_path`, show(mountPath), `mounts[${other}] is in its way`)
  }
}

function checkResources(resources: readonly Resource[], path: string): void {
  checkListLength(path, resources, { min: 0, max: MAX_RESOURCES })
  const seen = new Set<string>()
  for (const [index, resource] of resources.entries()) {
    checkResource(resource, `${path}[${index}]`)
    if (seen.has(resource.name)) refuse(`${path}[${index}].name`, show(resource.name), 'asked for twice')
    seen.add(resource.name)
  }
  for (const name of ['cpu', 'memory'])
    if (!seen.has(name)) refuse(path, `no ${name}`, 'every container has cpu and memory')
}

function checkResource({ name, quantity, selector }: Resource, path: string): void {
  if (!isResourceName(name) || resourceKind(name).derived !== undefined) {
    refuse(`${path}.name`, show(name), `wanted one of ${CONTAINER_RESOURCE_NAMES.join(', ')}`)
  }
  if (quantity < 1n || quantity > MAX_QUANTITY)
    refuse(`${path}.quantity`, String(quantity), `wanted 1 to ${MAX_QUANTITY}`)
  if (selector === '') return
  if (resourceKind(name).selectorKey === undefined)
    refuse(`${path}.selector`, show(selector), `${name} has no selector`)
  if (!isSelector(selector)) refuse(`${path}.selector`, show(selector), `wanted ${SELECTOR}`)
}

export function checkListLength(path: string, list: readonly unknown[], range: { min: number; max: number }): void {
  if (list.length >= range.min && list.length <= range.max) return
  refuse(path, `${list.length} entries`, `wanted ${range.min} to ${range.max}`)
}

/** Throws PROVISION_BAD_POD: "path: what is there, what may be". */
export function refuse(path: string, seen: string, wanted: string): never {
  throw badPod(path, seen, wanted)
}

function badPod(path: string, seen: string, wanted: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('PROVISION_BAD_POD', `${path}: ${seen}, ${wanted}`, cause === undefined ? {} : { cause })
}

/** A stranger's text in quotes, cut, without control and direction characters that would change what a terminal shows. */
export function show(stranger: string): string {
  const text = stranger.slice(0, MAX_SHOWN + 1).replaceAll(/[\p{Cc}\p{Cf}]/gu, '\uFFFD')
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN - 1)}…` : text)
}
