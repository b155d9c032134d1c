/**
 * Which addresses are anybody's on the internet. What others name for us to dial must not reach this machine, its neighbours or a cloud's
 * metadata service. Source: IANA's registries of special-purpose IPv4 and IPv6 addresses. Spec: spec/IMAGES.md#sources-of-blocks. Pure.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'

const NOT_PUBLIC_IPV4 = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8],
  ['100.64.0.0', 10], // carrier-grade NAT; a cloud's metadata service is at 100.100.100.200
  ['127.0.0.0', 8],
  ['168.63.129.16', 32], // a cloud's platform service, though the address is a public one
  ['169.254.0.0', 16], // link-local; metadata services are at 169.254.169.254 and beside it
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const
/** Of IPv6 only this is handed out, but for the parts below: whatever embeds an IPv4 address lies outside of it or is in them. */
const GLOBAL_UNICAST_IPV6 = ['2000::', 3] as const
const NOT_PUBLIC_IPV6 = [
  ['2001::', 23], // protocol assignments, Teredo
  ['2001:db8::', 32],
  ['2002::', 16], // 6to4
  ['3fff::', 20],
] as const

const notPublic = new BlockList()
for (const [net, prefix] of NOT_PUBLIC_IPV4) notPublic.addSubnet(net, prefix, 'ipv4')
for (const [net, prefix] of NOT_PUBLIC_IPV6) notPublic.addSubnet(net, prefix, 'ipv6')
const global = new BlockList()
global.addSubnet(...GLOBAL_UNICAST_IPV6, 'ipv6')

/** false too for what is no address, or one with a zone. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !notPublic.check(address, 'ipv4')
  if (!isIPv6(address) || address.includes('%')) return false
  return global.check(address, 'ipv6') && !notPublic.check(address, 'ipv6')
}
