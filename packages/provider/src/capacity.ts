/**
 * What is free: what the provider offers in all, less what live pods reserve in the journal, less what unexpired quotes hold.
 * Live usage plays no part. Spec: spec/PRICING.md#hold. Pure over its inputs.
 */
import { create } from '@bufbuild/protobuf'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Pod, type Resource, ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { ResourceAmount } from '@trusted-pods/protocol/pricing/price.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { chooseDevices, type Device, type GivenDevice, GPU, heldResources, offeredGpus } from './devices.ts'
import type { Journal } from './journal.ts'
import { LIVE_PHASES } from './pod-row.ts'
import { quoteOf } from './quoted.ts'

/** Quotes that hold capacity for one address at a time; further ones are good while the place is free. */
const HOLDS_PER_ADDRESS = 2
/** After a hold that led to no pod an address gets quotes, but no hold, for this long: nobody keeps a machine for nothing. */
const COOL_DOWN_MS = 10 * 60_000
/** Addresses remembered; beyond it the oldest is forgotten. */
const MAX_REMEMBERED = 10_000
/** All holds together, from however many addresses, keep at most one part in so many of what no live pod has: the rest is always
 * for those who pay. */
const HELD_SHARE = 2n

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
  readonly #pools: readonly ResourceAmount[]
  readonly #journal: Journal
  readonly #devices: readonly Device[]
  #holds: Hold[] = []
  /** Until when an address gets no hold. */
  readonly #coolDown = new Map<string, number>()

  /** @param pools what is offered, one entry per name and selector, in the resource's unit; GPUs are the devices. */
  constructor(pools: readonly ResourceAmount[], journal: Journal, devices: readonly Device[] = []) {
    this.#pools = [...pools, ...offeredGpus(devices)]
    this.#journal = journal
    this.#devices = devices
  }

  get total(): Resource[] {
    return this.#pools.map((pool) => create(ResourceSchema, pool))
  }

  /** The most that could be had of each line by itself. */
  free(nowMs: number): Resource[] {
    const taken = this.#taken(nowMs)
    return this.total.map((pool) => ({ ...pool, quantity: atLeastZero(this.#left(pool, taken)) }))
  }

  /**
   * Checks that a quote's place is free, and keeps it for the quote unless its address is cooling down or holds would take more
   * than their share; the quote is then good while the place is free. Returns whether it is kept.
   * @throws TrustedPodsError QUOTE_NO_CAPACITY naming what is short, QUOTE_HOST_TAKEN.
   */
  hold(hold: Hold, nowMs: number): boolean {
    this.#expire(nowMs)
    this.#drop(
      this.#holds.filter(({ publisher }) => publisher === hold.publisher),
      nowMs,
    )
    this.#requireHosts(hold)
    this.#requireFree(hold.resources, nowMs)
    const held = this.#holds.filter(({ address }) => address === hold.address)
    const cool = (this.#coolDown.get(hold.address) ?? 0) <= nowMs
    const kept = cool && held.length < HOLDS_PER_ADDRESS && this.#withinShare(hold.resources)
    if (kept) this.#holds.push(hold)
    return kept
  }

  /** Takes a quote's hold away before its pod is admitted; capacity is then checked anew.
   * @throws TrustedPodsError QUOTE_NO_CAPACITY or QUOTE_HOST_TAKEN, when the hold was lost and the place is gone. */
  admit(claim: Claim, nowMs: number): void {
    this.#holds = this.#holds.filter(({ quoteId }) => quoteId !== claim.quoteId)
    this.#requireHosts(claim)
    this.#requireFree(claim.resources, nowMs)
  }

  /** Whether `admit` would let it in now; its hold stays. @throws as `admit`. */
  requirePlace(claim: Claim, nowMs: number): void {
    const own = this.#holds.filter(({ quoteId }) => quoteId === claim.quoteId)
    try {
      this.admit(claim, nowMs)
    } finally {
      this.#holds.push(...own)
    }
  }

  /** Devices of its own for each GPU of a pod that was admitted; they are its own once they are in the journal.
   * @throws TrustedPodsError QUOTE_NO_CAPACITY. */
  devicesFor(pod: Pod): GivenDevice[] {
    const taken = this.#journal.pods(LIVE_PHASES).flatMap(({ devices }) => devices)
    const ofModel = (model: string) => this.#held().filter(({ name, selector }) => name === GPU && selector === model)
    return chooseDevices(pod, this.#devices, { taken, held: (model) => (model === '' ? 0n : sum(ofModel(model))) })
  }

  #taken(nowMs: number): ResourceAmount[] {
    this.#expire(nowMs)
    return [...this.#reserved(), ...this.#held()]
  }

  #reserved(): ResourceAmount[] {
    return this.#journal.pods(LIVE_PHASES).flatMap((row) => heldResources(quoteOf(row).resources, row.devices))
  }

  #held(): ResourceAmount[] {
    return this.#holds.flatMap(({ resources }) => resources)
  }

  /** What a model or class has left, which is never more than all of that name have; without a selector, what all have. */
  #left({ name, selector }: ResourceAmount, taken: readonly ResourceAmount[]): bigint {
    const ofName = (amounts: readonly ResourceAmount[]) => amounts.filter((one) => one.name === name)
    const ofBoth = (amounts: readonly ResourceAmount[]) => ofName(amounts).filter((one) => one.selector === selector)
    const inAll = sum(ofName(this.#pools)) - sum(ofName(taken))
    const own = sum(ofBoth(this.#pools)) - sum(ofBoth(taken))
    return selector === '' || inAll < own ? inAll : own
  }

  #requireFree(resources: readonly Resource[], nowMs: number): void {
    const taken = this.#taken(nowMs)
    for (const resource of resources) {
      this.#requireOffered(resource)
      const { quantity } = resource
      const left = atLeastZero(this.#left(resource, taken))
      if (quantity > left)
        throw new TrustedPodsError('QUOTE_NO_CAPACITY', `${quantity} of ${describe(resource)} asked, ${left} free`)
      taken.push(resource)
    }
  }

  #requireOffered(asked: Resource): void {
    const ofName = this.#pools.filter(({ name }) => name === asked.name)
    if (ofName.length > 0 && asked.selector === '') return
    if (ofName.some(({ selector }) => selector === asked.selector)) return
    const models = ofName.flatMap(({ selector }) => (selector === '' ? [] : [selector])).join(', ')
    const offered = models === '' ? '' : `; offered are ${models}`
    throw new TrustedPodsError('QUOTE_UNKNOWN_RESOURCE', `${describe(asked)} is not offered here${offered}`)
  }

  #withinShare(resources: readonly Resource[]): boolean {
    const reserved = this.#reserved()
    const held = [...this.#held(), ...resources]
    return resources.every((resource) => {
      const share = (this.#left({ ...resource, selector: '' }, reserved) + HELD_SHARE - 1n) / HELD_SHARE
      return sum(held.filter(({ name }) => name === resource.name)) <= share
    })
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

function sum(amounts: readonly ResourceAmount[]): bigint {
  return amounts.reduce((total, { quantity }) => total + quantity, 0n)
}

function atLeastZero(quantity: bigint): bigint {
  return quantity < 0n ? 0n : quantity
}

function describe({ name, selector }: ResourceAmount): string {
  return selector === '' ? name : `${name} (${boundText(selector)})`
}
