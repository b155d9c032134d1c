/**
 * Amounts and prices as people write them, both ways and exactly: "0.045 USDC", "0.045 USDC per vCPU-hour", "0.08/GiB-month",
 * "1 USDC per 1000 GiB". Spec: spec/PRICING.md#notation. Pure.
 */
import { create } from '@bufbuild/protobuf'
import { TrustedPodsError } from '../errors.ts'
import { type Price, PriceKind, PriceSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { priceAmount } from './pricing-table.ts'
import { PERIODS, PRICED_RESOURCES, type PricedResource, type QuantityUnit } from './resources.ts'

/** A token as far as people see it. */
export interface TokenUnit {
  readonly decimals: number
  readonly symbol: string
}

export interface PriceContext extends TokenUnit {
  /** The resource that is priced: it decides which units make sense. */
  readonly resource: string
  /** Model or class; empty by default. */
  readonly selector?: string
}

/** Longest text that is looked at: any amount below 2^256 with 36 decimals and its symbol is shorter. */
const MAX_LENGTH = 160
const AMOUNT = /^([0-9]+)(?:\.([0-9]+))?(?:\s*([^\s0-9].*))?$/u
/** What it is for: a count, a unit, and for reservations a period. */
const DENOMINATOR = /^(?:([0-9]{1,15})\s+)?([A-Za-z]+)(?:-([A-Za-z]+|[0-9]{1,12}s))?$/
const UINT64_MAX = 2n ** 64n - 1n
/** For a resource that no list of ours knows. */
const UNKNOWN: PricedResource = { kind: PriceKind.RESERVE, units: [{ name: 'unit', size: 1n }] }

/** "0.045 USDC" of base units; every digit that counts and no more. A negative amount has a minus. */
export function formatAmount(units: bigint, { decimals, symbol }: TokenUnit): string {
  return `${formatDecimal(units, decimals)} ${symbol}`
}

/**
 * Base units of "0.045 USDC" or "0.045".
 * @throws TrustedPodsError CHANNEL_BAD_AMOUNT for another symbol, for more digits than the token has, or when it is no amount.
 */
export function parseAmount(text: string, { decimals, symbol }: TokenUnit): bigint {
  const match = text.length > MAX_LENGTH ? null : AMOUNT.exec(text.trim())
  const [, whole = '', fraction = '', seen = symbol] = match ?? []
  if (match === null) bad(`${JSON.stringify(text.slice(0, 80))} is no amount, wanted one like "1.5 ${symbol}"`)
  if (seen !== symbol) bad(`the amount is in ${JSON.stringify(seen.slice(0, 40))}, wanted ${symbol}`)
  const digits = fraction.replace(/0+$/, '')
  if (digits.length > decimals)
    bad(`${match[0]} has ${digits.length} digits after the point, ${symbol} has ${decimals}`)
  return BigInt(whole + digits.padEnd(decimals, '0'))
}

/**
 * The line of a price table.
 * @throws TrustedPodsError QUOTE_PRICES_INVALID for a unit that the resource does not have, a missing or needless period, another
 * symbol, or more digits than the token has; then with the wider unit in which the same price can be said.
 */
export function parsePrice(text: string, context: PriceContext): Price {
  const resource = PRICED_RESOURCES.get(context.resource)
  if (resource === undefined)
    invalid(`${context.resource} is no resource; known are ${[...PRICED_RESOURCES.keys()].join(', ')}`)
  const [amountText, denominatorText] = splitPrice(text, resource)
  const { count, unit, perSeconds } = parseDenominator(denominatorText, resource)
  const perQuantity = count * unit.size
  if (perQuantity > UINT64_MAX || perSeconds > UINT64_MAX) invalid(`"${text.trim()}" is per more than 64 bits hold`)
  return create(PriceSchema, {
    resource: context.resource,
    selector: context.selector ?? '',
    kind: resource.kind,
    amount: parsePriceAmount(amountText, denominatorText, context).toString(),
    perQuantity,
    perSeconds,
  })
}

/** "0.045 USDC per vCPU-hour"; `parsePrice` gives the same line back. */
export function formatPrice(price: Price, token: TokenUnit): string {
  const { units } = PRICED_RESOURCES.get(price.resource) ?? UNKNOWN
  const unit = units.find(({ size }) => price.perQuantity % size === 0n) ?? { name: 'unit', size: 1n }
  const count = price.perQuantity / unit.size
  const what = price.perSeconds === 0n ? unit.name : `${unit.name}-${formatPeriod(price.perSeconds)}`
  const per = count === 1n ? what : `${count} ${isPlural(what) ? what : `${what}s`}`
  return `${formatAmount(priceAmount(price), token)} per ${per}`
}

/** The number alone. */
function formatDecimal(units: bigint, decimals: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals)
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '')
  return `${units < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}

function splitPrice(text: string, resource: PricedResource): [amount: string, denominator: string] {
  const separator = text.length > MAX_LENGTH ? null : /\s+per\s+|\s*\/\s*/.exec(text)
  if (separator === null) {
    invalid(`${JSON.stringify(text.slice(0, 80))} is no price, wanted one like "0.045 per ${example(resource)}"`)
  }
  return [text.slice(0, separator.index).trim(), text.slice(separator.index + separator[0].length).trim()]
}

function parsePriceAmount(text: string, denominator: string, token: TokenUnit): bigint {
  const excess = (/\.([0-9]*?)0*(?![0-9])/.exec(text)?.[1]?.length ?? 0) - token.decimals
  if (excess > 0)
    invalid(
      `${text} has more digits than ${token.symbol} has (${token.decimals}); say it per more: ${widen(text, denominator, excess)}`,
    )
  try {
    return parseAmount(text, token)
  } catch (cause) {
    throw new TrustedPodsError('QUOTE_PRICES_INVALID', cause instanceof Error ? cause.message : 'no amount', { cause })
  }
}

/** The same price per 10, 100, ... of the unit, so that no digit is lost. */
function widen(amount: string, denominator: string, excess: number): string {
  const [, whole = '0', fraction = ''] = /^([0-9]+)\.([0-9]+)/.exec(amount) ?? []
  const scaled = formatDecimal(BigInt(whole + fraction), fraction.length - excess)
  const [, count = '1', unit = denominator] = /^([0-9]+)\s+(.*)$/.exec(denominator) ?? []
  return `"${scaled} per ${BigInt(count) * 10n ** BigInt(excess)} ${isPlural(unit) ? unit : `${unit}s`}"`
}

interface Denominator {
  readonly count: bigint
  readonly unit: QuantityUnit
  /** 0 where time does not count. */
  readonly perSeconds: bigint
}

function parseDenominator(text: string, resource: PricedResource): Denominator {
  const wanted = `wanted one like "per ${example(resource)}"`
  const match = DENOMINATOR.exec(text)
  if (match === null) invalid(`"per ${text.slice(0, 80)}" is no unit, ${wanted}`)
  const [, count = '1', unitName = '', period] = match
  const unit = resource.units.find(({ name }) => isNamed(name, unitName))
  if (unit === undefined)
    invalid(`"${unitName}" is no unit of it, known are ${resource.units.map(({ name }) => name).join(', ')}`)
  if (BigInt(count) === 0n) invalid(`"per ${text}" is per nothing, ${wanted}`)
  const timed = resource.kind === PriceKind.RESERVE
  if (timed !== (period !== undefined))
    invalid(`"per ${text}" ${timed ? 'lacks a period' : 'has a period, but time does not count'}, ${wanted}`)
  return { count: BigInt(count), unit, perSeconds: period === undefined ? 0n : parsePeriod(period, wanted) }
}

function parsePeriod(text: string, wanted: string): bigint {
  const seconds = /^[0-9]+s$/.test(text)
    ? BigInt(text.slice(0, -1))
    : [...PERIODS].find(([name]) => isNamed(name, text))?.[1]
  if (seconds === undefined || seconds === 0n)
    invalid(`"${text}" is no period, known are ${[...PERIODS.keys()].join(', ')}; ${wanted}`)
  return seconds
}

function formatPeriod(seconds: bigint): string {
  return [...PERIODS].find(([, period]) => period === seconds)?.[0] ?? `${seconds}s`
}

/** Units of bytes and bare seconds are written alike for one and for many. */
function isPlural(word: string): boolean {
  return /(?:[KMGT]i?B|s)$/.test(word)
}

function isNamed(name: string, seen: string): boolean {
  return seen === name || seen === `${name}s`
}

function example({ kind, units }: PricedResource): string {
  const unit = units.find(({ name }) => name === 'GiB') ?? units[0]
  return kind === PriceKind.RESERVE ? `${unit?.name}-hour` : `${unit?.name}`
}

function invalid(message: string): never {
  throw new TrustedPodsError('QUOTE_PRICES_INVALID', message)
}

function bad(message: string): never {
  throw new TrustedPodsError('CHANNEL_BAD_AMOUNT', message)
}
