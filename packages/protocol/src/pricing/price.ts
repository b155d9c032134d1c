/**
 * What a pod costs: counters of what it reserves and uses, and the exact price of those counters. Integers only; each line is
 * rounded once, on the counter since the start, so that no splitting of time changes a total. Spec: spec/PRICING.md#cost. Pure.
 */
import { create } from '@bufbuild/protobuf'
import { smaller } from '../bigints.ts'
import { TrustedPodsError } from '../errors.ts'
import { type Counter, CounterSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import type { Resource } from '../gen/trustedpods/v0/pod_pb.ts'
import { type Price, PriceKind, type PricingTable } from '../gen/trustedpods/v0/pricing_pb.ts'
import { findPrice, priceAmount } from './pricing-table.ts'
import { START } from './resources.ts'

/** A resource as far as pricing looks at it. */
export type ResourceAmount = Pick<Resource, 'name' | 'quantity' | 'selector'>

/** What was measured beside the time; a default of nothing used and one start. */
export interface Measured {
  /** Amounts used since the start, of resources priced by USAGE; counted no further than the allowance has come by then. */
  readonly usage?: readonly ResourceAmount[]
  /** How often the pod was started; 1 by default. */
  readonly starts?: bigint
}

/** 2^96 - 1: what the escrow contract stores a rate in. */
const MAX_RATE_PER_HOUR = 2n ** 96n - 1n
const SECONDS_PER_HOUR = 3600n

/**
 * The counters of a pod that has run for `runningSeconds`, one for each line of the table that applies, in its order.
 * @throws TrustedPodsError QUOTE_UNKNOWN_RESOURCE when the table has no line for a resource.
 */
export function counters(
  resources: readonly ResourceAmount[],
  table: PricingTable,
  runningSeconds: bigint,
  measured: Measured = {},
): Counter[] {
  return countLines(resources, table, {
    seconds: runningSeconds,
    usage: measured.usage ?? [],
    starts: measured.starts ?? 1n,
  })
}

/**
 * Base units owed for counters since the start; every line floored once.
 * @throws TrustedPodsError QUOTE_UNKNOWN_RESOURCE when a counter belongs to no line of the table.
 */
export function cost(table: PricingTable, counters: readonly Counter[]): bigint {
  let total = 0n
  for (const [price, value] of sumByLine(table, counters)) total += (priceAmount(price) * value) / denominator(price)
  return total
}

/**
 * The rate that a channel must allow, base units per hour: the exact price of the first hour, rounded up. That hour holds all
 * RESERVE lines for 3600 s, one start, and of USAGE lines the amount asked for, which is an allowance per hour. Rate x elapsed
 * is therefore never below the cost of reservation and usage, and covers the start too from the end of the first hour.
 * @throws TrustedPodsError QUOTE_UNKNOWN_RESOURCE, or QUOTE_PRICES_INVALID when the escrow cannot hold such a rate.
 */
export function ratePerHour(table: PricingTable, resources: readonly ResourceAmount[]): bigint {
  const hour = countLines(resources, table, { seconds: SECONDS_PER_HOUR, usage: resources, starts: 1n })
  const rate = ceilingOfSum(
    [...sumByLine(table, hour)].map(([price, value]) => [priceAmount(price) * value, denominator(price)]),
  )
  if (rate > MAX_RATE_PER_HOUR) {
    throw new TrustedPodsError(
      'QUOTE_PRICES_INVALID',
      `${rate} base units per hour are more than the escrow can hold (2^96 - 1)`,
    )
  }
  return rate
}

interface Counted {
  readonly seconds: bigint
  readonly usage: readonly ResourceAmount[]
  readonly starts: bigint
}

function countLines(resources: readonly ResourceAmount[], table: PricingTable, counted: Counted): Counter[] {
  const values = new Map<Price, bigint>()
  const add = (price: Price, value: bigint) => values.set(price, (values.get(price) ?? 0n) + value)
  for (const { name, quantity, selector } of resources)
    add(requirePrice(table, name, selector), quantity * counted.seconds)
  for (const [price, value] of values)
    if (price.kind === PriceKind.USAGE)
      values.set(price, smaller(usedOf(price, table, counted.usage), value / SECONDS_PER_HOUR))
  const start = findPrice(table, START, '')
  if (start !== undefined) add(start, counted.starts)
  return table.prices.flatMap((price) => {
    const value = values.get(price)
    return value === undefined ? [] : [toCounter(price, value)]
  })
}

function usedOf(price: Price, table: PricingTable, usage: readonly ResourceAmount[]): bigint {
  return usage.reduce(
    (sum, { name, selector, quantity }) => (findPrice(table, name, selector) === price ? sum + quantity : sum),
    0n,
  )
}

function toCounter(price: Price, value: bigint): Counter {
  return create(CounterSchema, { resource: price.resource, selector: price.selector, value: value.toString() })
}

function requirePrice(table: PricingTable, resource: string, selector: string): Price {
  const price = resource === START ? undefined : findPrice(table, resource, selector)
  if (price !== undefined) return price
  const wanted = selector === '' ? resource : `${resource} (${selector})`
  const offered = [
    ...new Set(table.prices.map((p) => (p.selector === '' ? p.resource : `${p.resource} (${p.selector})`))),
  ]
  throw new TrustedPodsError(
    'QUOTE_UNKNOWN_RESOURCE',
    `no price for ${wanted}; priced are ${offered.join(', ') || 'none'}`,
  )
}

/** Counters by the line with exactly their name and selector; two counters of one line are one. */
function sumByLine(table: PricingTable, counters: readonly Counter[]): Map<Price, bigint> {
  const values = new Map<Price, bigint>()
  for (const { resource, selector, value } of counters) {
    const price = table.prices.find((line) => line.resource === resource && line.selector === selector)
    if (price === undefined) {
      throw new TrustedPodsError(
        'QUOTE_UNKNOWN_RESOURCE',
        `a counter of ${resource} (${selector}) has no line in the price table`,
      )
    }
    values.set(price, (values.get(price) ?? 0n) + parseCount(value))
  }
  return values
}

/** 78 digits hold 2^256: more than any counter can reach. */
function parseCount(value: string): bigint {
  if (!/^[0-9]{1,78}$/.test(value))
    throw new TrustedPodsError('CHANNEL_RECEIPT_INVALID', 'a counter is not 1 to 78 digits')
  return BigInt(value)
}

function denominator(price: Price): bigint {
  const divisor = price.perQuantity * (price.perSeconds === 0n ? 1n : price.perSeconds)
  if (divisor === 0n)
    throw new TrustedPodsError('QUOTE_PRICES_INVALID', `${price.resource} is priced per 0 units, at least 1`)
  return divisor
}

function ceilingOfSum(fractions: readonly (readonly [numerator: bigint, denominator: bigint])[]): bigint {
  let [sum, common] = [0n, 1n]
  for (const [numerator, divisor] of fractions) [sum, common] = [sum * divisor + numerator * common, common * divisor]
  return (sum + common - 1n) / common
}
