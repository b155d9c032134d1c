/**
 * Bytes that pods send and receive, counted by the kernel where their packets leave and enter their bridge: to and from the world,
 * published ports and the HTTP front alike, after every refusal of the firewall. The table stays over restarts of containers,
 * engine and provider, and out of a tenant's reach. I/O. Spec: docs/runtime.md#traffic.
 */
import { randomBytes } from 'node:crypto'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { listAt, recordAt, textAt } from '@trusted-pods/platform/engine/json-view.ts'
import { listTable, runNft } from './nft.ts'
import { bridgeName } from './pod-names.ts'
import type { TrafficReading } from './pod-runtime.ts'
import { tableName } from './tenant-firewall.ts'

/** Says when counting began: a table that was taken away and made again begins at nothing. */
const EPOCH = 'epoch_'

export class PodTraffic {
  readonly #nft: string
  readonly #table: string
  /** What is being read: everybody who asks meanwhile gets the same. */
  #reading: Promise<readonly unknown[]> | undefined
  /** Once at a time: two would make it twice. */
  #ensuring: Promise<void> | undefined

  private constructor(nft: string, table: string) {
    this.#nft = nft
    this.#table = table
  }

  /** undefined: the machine has no nft, and nothing is counted. */
  static async open(owner: string): Promise<PodTraffic | undefined> {
    const nft = await findProgram('nft')
    if (!nft) return undefined
    const traffic = new PodTraffic(nft, `${tableName(owner)}_traffic`)
    await traffic.ensure()
    return traffic
  }

  /** Leaves a table that is there as it is: its counters are the pods'. */
  async ensure(): Promise<void> {
    this.#ensuring ??= this.#make().finally(() => {
      this.#ensuring = undefined
    })
    await this.#ensuring
  }

  async #make(): Promise<void> {
    if (await listTable(this.#nft, this.#table)) return
    await runNft(this.#nft, trafficRules(this.#table, `${EPOCH}${randomBytes(8).toString('hex')}`))
  }

  async read(podId: string): Promise<TrafficReading> {
    this.#reading ??= this.#list().finally(() => {
      this.#reading = undefined
    })
    return readingOf(await this.#reading, bridgeName(podId))
  }

  /** Lets nothing more through to the pod, or everything again. */
  async setOpen(podId: string, isOpen: boolean): Promise<void> {
    const element = `element inet ${this.#table} closed { "${bridgeName(podId)}" }`
    await this.ensure()
    // Added first, so that it is there to be deleted.
    await runNft(this.#nft, `add ${element}\n${isOpen ? `delete ${element}\n` : ''}`)
  }

  /** Of a pod that has ended: its name is nobody's any more. */
  async forget(podId: string): Promise<void> {
    const rules = ['sent', 'received', 'closed'].flatMap((set) => {
      const element = `element inet ${this.#table} ${set} { "${bridgeName(podId)}" }`
      return [`add ${element}`, `delete ${element}`]
    })
    await this.ensure()
    await runNft(this.#nft, `${rules.join('\n')}\n`)
  }

  async remove(): Promise<void> {
    await runNft(this.#nft, `table inet ${this.#table} {}\ndelete table inet ${this.#table}\n`)
  }

  async #list(): Promise<readonly unknown[]> {
    const objects = await listTable(this.#nft, this.#table)
    if (objects) return objects
    await this.ensure()
    return (await listTable(this.#nft, this.#table)) ?? []
  }
}

/** Priority 10: what the tenant firewall, Docker or the machine's owner have refused never comes here. Pure. */
export function trafficRules(table: string, epoch: string): string {
  const closed = (key: string) => `${key} @closed drop`
  return `create table inet ${table}
table inet ${table} {
  counter ${epoch} {}
  set sent { type ifname; size 65535; flags dynamic; counter; }
  set received { type ifname; size 65535; flags dynamic; counter; }
  set closed { type ifname; size 65535; }
  chain forward {
    type filter hook forward priority 10; policy accept;
    ${closed('iifname')}
    ${closed('oifname')}
    iifname "tp-*" update @sent { iifname counter }
    oifname "tp-*" update @received { oifname counter }
  }
  chain input {
    type filter hook input priority 10; policy accept;
    ${closed('iifname')}
    iifname "tp-*" update @sent { iifname counter }
  }
  chain output {
    type filter hook output priority 10; policy accept;
    ${closed('oifname')}
    oifname "tp-*" update @received { oifname counter }
  }
}
`
}

/** A pod that has not sent or received anything yet is in no set. Pure. */
export function readingOf(objects: readonly unknown[], bridge: string): TrafficReading {
  const epoch = objects.map((object) => textAt(object, 'counter', 'name')).find((name) => name.startsWith(EPOCH)) ?? ''
  return { epoch, egressBytes: bytesOf(objects, 'sent', bridge), ingressBytes: bytesOf(objects, 'received', bridge) }
}

function bytesOf(objects: readonly unknown[], set: string, bridge: string): bigint {
  const found = objects.find((object) => textAt(object, 'set', 'name') === set)
  for (const element of listAt(found, 'set', 'elem')) {
    const counted = recordAt(element, 'elem')
    if (counted.val === bridge) return BigInt(Number(recordAt(counted, 'counter').bytes ?? 0))
  }
  return 0n
}
