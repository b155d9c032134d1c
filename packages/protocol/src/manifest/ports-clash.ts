/** When two ports of a pod cannot both be had: the same rule for the file and the wire. Spec: spec/MANIFEST.md#ports. Pure. */
import { type Port, PortProtocol } from '../gen/trustedpods/v0/pod_pb.ts'
import type { PortManifest } from './manifest.ts'

/** Whether two ports ask for one host name, or for one number at addresses that overlap. */
export function portsClash(a: PortManifest, b: PortManifest): boolean {
  if (a.httpHost !== '' || b.httpHost !== '') return a.httpHost === b.httpHost
  const everywhere = ['', '0.0.0.0', '::']
  const overlap = a.hostIp === b.hostIp || everywhere.includes(a.hostIp) || everywhere.includes(b.hostIp)
  return a.port === b.port && a.protocol === b.protocol && overlap
}

/** The wire's port as the manifest's; its protocol has been checked. */
export function toPortManifest(port: Port): PortManifest {
  const { port: outer, targetPort, protocol, hostIp, httpHost } = port
  return { port: outer, targetPort, protocol: protocol === PortProtocol.UDP ? 'udp' : 'tcp', hostIp, httpHost }
}
