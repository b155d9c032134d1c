/**
 * What is free: what the provider offers in all, less what live pods reserve in the journal, less what unexpired quotes hold.
 * Live usage plays no part. Pure over its inputs.
 */
import { create } from '@bufbuild/protobuf'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Resource, ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { Journal } from './journal.ts'
import { LIVE_PHASES } from './pod-row.ts'
import { quoteOf } from './quoted.ts'

/** Quotes that one publisher can hold capacity with at a time; a further one replaces its oldest. */
const HOLDS_PER_PUBLISHER = 2

interface Hold {
  readonly quoteId: string
  readonly publisher: string
  readonly resources: readonly Resource[]
  readonly httpHosts: readonly string[]
  readonly expiresAtMs: number
}

/** Capacity and its short holds. */
export class Capacity {
  readonly #total: ReadonlyMap<string, bigint>
  readonly #journal: Journal
  #holds: Hold[] = []

  /** @param total quantity offered by resource name, in the resource's unit. */
  constructor(total: ReadonlyMap<string, bigint>, journal: Journal) {
    this.#total = total
    this.#journal = journal
  }

  get total(): Resource[] {
    return toResources(this.#total)
  }

  free(nowMs: number): Resource[] {
    return toResources(this.#free(nowMs))
  }

  /** @throws TrustedPodsError QUOTE_NO_CAPACITY naming what is short, QUOTE_HOST_TAKEN. */
  hold(hold: Hold, nowMs: number): void {
    this.#expire(nowMs)
    const held = this.#holds.filter(({ publisher }) => publisher === hold.publisher)
    if (held.length >= HOLDS_PER_PUBLISHER) this.#holds.splice(this.#holds.indexOf(held[0] as Hold), 1)
    this.#requireHosts(hold)
    this.#requireFree(hold.resources, nowMs)
    this.#holds.push(hold)
  }

  /** Takes a quote's hold away before its pod is admitted; capacity is then checked anew.
   * @throws TrustedPodsError QUOTE_NO_CAPACITY or QUOTE_HOST_TAKEN, when the hold was lost and the place is gone. */
  admit(hold: Hold, nowMs: number): void {
    this.#holds = this.#holds.filter(({ quoteId }) => quoteId !== hold.quoteId)
    this.#requireHosts(hold)
    this.#requireFree(hold.resources, nowMs)
  }

  #free(nowMs: number): Map<string, bigint> {
    this.#expire(nowMs)
    const free = new Map(this.#total)
    const reserved = this.#journal.pods(LIVE_PHASES).map((row) => quoteOf(row).resources)
    for (const { name, quantity } of [...reserved, ...this.#holds.map(({ resources }) => resources)].flat()) {
      const left = (free.get(name) ?? 0n) - quantity
      free.set(name, left < 0n ? 0n : left)
    }
    return free
  }

  #requireFree(resources: readonly Resource[], nowMs: number): void {
    const free = this.#free(nowMs)
    for (const { name, quantity } of resources) {
      const left = free.get(name)
      if (left === undefined) throw new TrustedPodsError('QUOTE_UNKNOWN_RESOURCE', `${name} is not offered here`)
      if (quantity > left) throw new TrustedPodsError('QUOTE_NO_CAPACITY', `${quantity} of ${name} asked, ${left} free`)
      free.set(name, left - quantity)
    }
  }

  #requireHosts({ httpHosts, publisher }: Hold): void {
    const running = this.#journal.pods(LIVE_PHASES).flatMap((row) => quoteOf(row).httpHosts)
    const held = this.#holds.filter((other) => other.publisher !== publisher).flatMap((other) => other.httpHosts)
    for (const host of httpHosts) {
      if (running.includes(host) || held.includes(host))
        throw new TrustedPodsError('QUOTE_HOST_TAKEN', `host ${host} is in use here`)
    }
  }

  #expire(nowMs: number): void {
    this.#holds = this.#holds.filter(({ expiresAtMs }) => expiresAtMs > nowMs)
  }
}

function toResources(quantities: ReadonlyMap<string, bigint>): Resource[] {
  return [...quantities].map(([name, quantity]) => create(ResourceSchema, { name, quantity }))
}
