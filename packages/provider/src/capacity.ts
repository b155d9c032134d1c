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

/** Quotes that hold capacity for one address at a time; further ones are good while the place is free. */
const HOLDS_PER_ADDRESS = 2
/** After a hold that led to no pod an address gets quotes, but no hold, for this long: nobody keeps a machine for nothing. */
const COOL_DOWN_MS = 10 * 60_000
/** Addresses remembered; beyond it the oldest is forgotten. */
const MAX_REMEMBERED = 10_000

/** What a pod takes when it is admitted. */
export interface Claim {
  readonly quoteId: string
  readonly publisher: string
  readonly resources: readonly Resource[]
  readonly httpHosts: readonly string[]
}

interface Hold extends Claim {
  /** Network address that the quote was asked from. */
  readonly address: string
  readonly expiresAtMs: number
}

/** Capacity and its short holds. */
export class Capacity {
  readonly #total: ReadonlyMap<string, bigint>
  readonly #journal: Journal
  #holds: Hold[] = []
  /** Until when an address gets no hold. */
  readonly #coolDown = new Map<string, number>()

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

  /** Holds what a quote promises, unless its address is cooling down: the quote is then good only while the place is free.
   * @throws TrustedPodsError QUOTE_NO_CAPACITY naming what is short, QUOTE_HOST_TAKEN. */
  hold(hold: Hold, nowMs: number): void {
    this.#expire(nowMs)
    this.#drop(
      this.#holds.filter(({ publisher }) => publisher === hold.publisher),
      nowMs,
    )
    this.#requireHosts(hold)
    this.#requireFree(hold.resources, nowMs)
    const held = this.#holds.filter(({ address }) => address === hold.address)
    const cool = (this.#coolDown.get(hold.address) ?? 0) <= nowMs
    if (cool && held.length < HOLDS_PER_ADDRESS) this.#holds.push(hold)
  }

  /** Takes a quote's hold away before its pod is admitted; capacity is then checked anew.
   * @throws TrustedPodsError QUOTE_NO_CAPACITY or QUOTE_HOST_TAKEN, when the hold was lost and the place is gone. */
  admit(claim: Claim, nowMs: number): void {
    this.#holds = this.#holds.filter(({ quoteId }) => quoteId !== claim.quoteId)
    this.#requireHosts(claim)
    this.#requireFree(claim.resources, nowMs)
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

  #requireHosts({ httpHosts, publisher }: Claim): void {
    const running = this.#journal.pods(LIVE_PHASES).flatMap((row) => quoteOf(row).httpHosts)
    const held = this.#holds.filter((other) => other.publisher !== publisher).flatMap((other) => other.httpHosts)
    for (const host of httpHosts) {
      if (running.includes(host) || held.includes(host))
        throw new TrustedPodsError('QUOTE_HOST_TAKEN', `host ${host} is in use here`)
    }
  }

  #expire(nowMs: number): void {
    this.#drop(
      this.#holds.filter(({ expiresAtMs }) => expiresAtMs <= nowMs),
      nowMs,
    )
  }

  /** Holds that led to no pod. */
  #drop(holds: readonly Hold[], nowMs: number): void {
    this.#holds = this.#holds.filter((hold) => !holds.includes(hold))
    for (const { address } of holds) {
      this.#coolDown.delete(address)
      this.#coolDown.set(address, nowMs + COOL_DOWN_MS)
    }
    for (const address of this.#coolDown.keys())
      if (this.#coolDown.size > MAX_REMEMBERED) this.#coolDown.delete(address)
  }
}

function toResources(quantities: ReadonlyMap<string, bigint>): Resource[] {
  return [...quantities].map(([name, quantity]) => create(ResourceSchema, { name, quantity }))
}
