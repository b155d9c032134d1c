/** The manifest's ports in all their forms: 123, 123:321, "127.0.0.1:8080:80/udp", a map, and port with host. Spec:
 * spec/MANIFEST.md#ports. Pure. */
import { MAX_PORTS } from '../wire/protocols.ts'
import { describe, type IntegerOptions, readFields, readInteger, readItems, readText } from './fields.ts'
import type { PortManifest } from './manifest.ts'
import { HOST_NAME, IP_ADDRESS, isHostName, isIpAddress } from './names.ts'
import { portsClash } from './ports-clash.ts'
import { fail, quote, warn, type YamlNode } from './yaml-tree.ts'

const PORT_RANGE: IntegerOptions = { min: 1, max: 65535 }
const PORT_KEYS = ['port', 'targetPort', 'protocol', 'hostIP', 'host'] as const
const PORT_SYNONYMS = {
  containerPort: 'did you mean targetPort?',
  servicePort: 'did you mean port?',
  hostPort: 'did you mean port?',
  published: 'did you mean port?',
  target: 'did you mean targetPort?',
  hostHttpHost: 'did you mean host?',
}
const SHORT_FORMS = '8080, "8080:80", "8080:80/udp" or "127.0.0.1:8080:80"'

/** A port and the node that it was written in, for findings about several ports. */
export interface ReadPort {
  readonly port: PortManifest
  readonly node: YamlNode
}

export interface PortNodes {
  readonly port?: YamlNode
  readonly host?: YamlNode
  readonly ports?: YamlNode
}

/** The one port of `port` and `host`, then those of `ports`. */
export function readPorts(nodes: PortNodes): readonly ReadPort[] {
  const ports: ReadPort[] = []
  if (nodes.port !== undefined) {
    const number = readInteger(nodes.port, PORT_RANGE)
    const httpHost = nodes.host === undefined ? '' : readHost(nodes.host)
    if (number !== undefined) ports.push({ port: tcp(number, httpHost), node: nodes.host ?? nodes.port })
  } else if (nodes.host !== undefined) {
    fail(nodes.host, 'host is given without port', {
      hint: 'add the port that the container serves HTTP on: port: 8080',
    })
    readHost(nodes.host)
  }
  for (const node of readItems(nodes.ports, { wanted: 'a list of ports', max: MAX_PORTS })) {
    const port = node.kind === 'map' ? readPortMap(node) : readShortPort(node)
    if (port !== undefined) ports.push({ port, node })
  }
  if (nodes.ports !== undefined && ports.length > MAX_PORTS) {
    fail(nodes.ports, `${ports.length} ports with the one of port, at most ${MAX_PORTS} are taken`)
  }
  return ports
}

function tcp(number: number, httpHost: string): PortManifest {
  return { port: number, targetPort: number, protocol: 'tcp', hostIp: '', httpHost }
}

function readPortMap(node: YamlNode): PortManifest | undefined {
  const fields = readFields(node, PORT_KEYS, { synonyms: PORT_SYNONYMS })
  const port = fields.port === undefined ? undefined : readInteger(fields.port, PORT_RANGE)
  const targetPort = fields.targetPort === undefined ? undefined : readInteger(fields.targetPort, PORT_RANGE)
  const protocol = fields.protocol === undefined ? 'tcp' : readProtocol(fields.protocol)
  const hostIp = fields.hostIP === undefined ? '' : readHostIp(fields.hostIP)
  const httpHost = fields.host === undefined ? '' : readHost(fields.host)
  if (fields.port === undefined && fields.targetPort === undefined) {
    fail(node, 'neither port nor targetPort is given', { hint: 'targetPort is what the container listens on' })
  }
  if (fields.host !== undefined && fields.hostIP !== undefined) {
    fail(fields.hostIP, 'hostIP is given together with host', {
      hint: 'the HTTP front has its own address: remove hostIP',
    })
  }
  if (fields.host !== undefined && protocol === 'udp') fail(fields.host, 'host is given for a udp port, wanted tcp')
  const outer = port ?? targetPort
  if (outer === undefined) return undefined
  return { port: outer, targetPort: targetPort ?? outer, protocol, hostIp, httpHost }
}

function readProtocol(node: YamlNode): 'tcp' | 'udp' {
  const protocol = readText(node, 'tcp or udp').toLowerCase()
  if (protocol === 'udp') return 'udp'
  if (protocol !== 'tcp') fail(node, `${describe(node)} is no protocol, wanted tcp or udp`)
  return 'tcp'
}

function readHostIp(node: YamlNode): string {
  const address = readText(node, IP_ADDRESS)
  if (!isIpAddress(address)) fail(node, `${describe(node)} is no address, wanted ${IP_ADDRESS}`)
  return address
}

function readHost(node: YamlNode): string {
  const host = readText(node, HOST_NAME).toLowerCase()
  if (isHostName(host)) return host
  const url = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ''
  const bare = /^https?:\/\//.test(host) && URL.canParse(host) ? new URL(host).hostname : url
  const hint = bare !== host && isHostName(bare) ? { hint: `did you mean ${bare}?` } : {}
  fail(node, `${describe(node)} is no host name, wanted ${HOST_NAME}`, hint)
  return ''
}

/** [hostIP:][port:]targetPort[/protocol]; an IPv6 address stands in brackets. */
function readShortPort(node: YamlNode): PortManifest | undefined {
  const text = readText(node, `a port: ${SHORT_FORMS}`)
  const match = /^(?:\[([^\]]*)\]:|([^:[\]/]*):(?=[^:]*:))?(?:([^:/]*):)?([^:/]*)(?:\/(.*))?$/.exec(text)
  if (node.kind !== 'scalar' || node.type === 'null') return undefined
  const port = match === null ? undefined : fromParts(match)
  if (port === undefined) fail(node, `${describe(node)} is no port, wanted ${SHORT_FORMS}`, { hint: shortHint(text) })
  return port
}

function fromParts(match: RegExpExecArray): PortManifest | undefined {
  const [, ipv6, ipv4, outer, inner = '', protocol = 'tcp'] = match
  const targetPort = portNumber(inner)
  const port = outer === undefined ? targetPort : portNumber(outer)
  const hostIp = ipv6 ?? ipv4 ?? ''
  const lower = protocol.toLowerCase()
  if (port === undefined || targetPort === undefined || (lower !== 'tcp' && lower !== 'udp')) return undefined
  if ((ipv6 ?? ipv4) !== undefined && !isIpAddress(hostIp)) return undefined
  return { port, targetPort, protocol: lower, hostIp, httpHost: '' }
}

function portNumber(text: string): number | undefined {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return number >= PORT_RANGE.min && number <= PORT_RANGE.max ? number : undefined
}

function shortHint(text: string): string {
  if (/\d-\d/.test(text)) return 'ranges are not taken: list each port'
  if (/^[\d.]+\.[\d.]+:\d+$/.test(text)) return `with an address both ports are written: ${text}:${text.split(':')[1]}`
  if (/^[0-9a-f:]*::[0-9a-f:]*$/i.test(text)) return 'an IPv6 address stands in brackets: "[::1]:8080:80"'
  return 'ports are 1 to 65535, protocols tcp and udp'
}

/** Reports what no two ports of one pod may share, and what they should not. @param containers Ports by container. */
export function checkPorts(containers: ReadonlyMap<string, readonly ReadPort[]>): void {
  const all = [...containers].flatMap(([name, ports]) => ports.map((read) => ({ ...read, name })))
  for (const [index, { port, node, name }] of all.entries()) {
    warnOfListeners({ port, node }, all.slice(0, index).find((earlier) => listenersMeet(earlier, { port, name }))?.name)
    const other = all.slice(0, index).find((earlier) => portsClash(earlier.port, port))
    if (other === undefined) continue
    const shared = port.httpHost === '' ? `port ${port.port}/${port.protocol}` : `host ${quote(port.httpHost)}`
    const owner = other.name === name ? 'this container' : `container ${other.name}`
    fail(node, `${shared} is already given to ${owner}`, { hint: 'each can be given once in a pod' })
  }
}

interface Listener {
  readonly port: PortManifest
  readonly name: string
}

function listenersMeet(a: Listener, b: Listener): boolean {
  return a.name !== b.name && a.port.targetPort === b.port.targetPort && a.port.protocol === b.port.protocol
}

function warnOfListeners(read: ReadPort, other: string | undefined): void {
  if (other === undefined) return
  warn(read.node, `container ${other} listens on ${read.port.targetPort}/${read.port.protocol} too`, {
    hint: 'the containers of a pod share one network: only one of them can',
  })
}
