/**
 * The nftables table that keeps pods from the host, its local networks and each other, bounds their connections, and lets
 * them out to the rest of the world. Pods are known by their bridges, `tp-*`; no other table is touched. I/O.
 * Spec: docs/runtime.md#network.
 */
import { createHash } from 'node:crypto'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { runNft } from './nft.ts'

/** 1000 connections of a pod at a time, each way out: one pod must not use up the machine's address translation. */
const MAX_CONNECTIONS = 1000

/** Networks that are the provider's own affair: private, shared, link-local, loopback, multicast (RFC 6890). */
const LOCAL_IPV4 =
  '0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3'
const LOCAL_IPV6 = '::1/128, fc00::/7, fe80::/10, ff00::/8'

export interface Firewall {
  readonly table: string
  /** Takes the table away. */
  remove(): Promise<void>
}

/** Sets the table, in one step, in place of one of an earlier run. undefined: the machine has no nft.
 * @param podNetwork CIDR notation. @throws TrustedPodsError PLATFORM_CONFIG when nft refuses it. */
export async function setFirewall(owner: string, podNetwork: string): Promise<Firewall | undefined> {
  const nft = await findProgram('nft')
  if (!nft) return undefined
  const table = tableName(owner)
  await runNft(nft, firewallRules(table, podNetwork))
  return { table, remove: () => runNft(nft, `table inet ${table} {}\ndelete table inet ${table}\n`) }
}

export function tableName(owner: string): string {
  return `tpod_${createHash('sha256').update(owner).digest('hex').slice(0, 12)}`
}

/** Priority -5: before the tables of Docker and of the machine's owner, whose refusals still hold. Pure. */
export function firewallRules(table: string, podNetwork: string): string {
  return `table inet ${table} {}
delete table inet ${table}
table inet ${table} {
  set local4 { type ipv4_addr; flags interval; elements = { ${LOCAL_IPV4} } }
  set local6 { type ipv6_addr; flags interval; elements = { ${LOCAL_IPV6} } }
  set connections { type ipv4_addr; size 65535; flags dynamic; }
  chain input {
    type filter hook input priority -5; policy accept;
    iifname "tp-*" ct state established,related accept
    iifname "tp-*" drop
  }
  chain forward {
    type filter hook forward priority -5; policy accept;
    iifname "tp-*" oifname "tp-*" drop
    iifname "tp-*" ct state established,related accept
    oifname "tp-*" ct state established,related accept
    oifname "tp-*" ct status dnat accept
    oifname "tp-*" drop
    iifname "tp-*" ip daddr @local4 drop
    iifname "tp-*" ip6 daddr @local6 drop
    iifname "tp-*" ct state new add @connections { ip saddr ct count over ${MAX_CONNECTIONS} } drop
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr ${podNetwork} oifname != "tp-*" masquerade
  }
}
`
}
