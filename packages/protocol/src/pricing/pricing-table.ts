/** What makes a price table well-formed, and which of its lines prices a resource. Spec: spec/PRICING.md#table. Pure. */
import { TrustedPodsError } from '../errors.ts'
import { type Price, PriceKind, type PricingTable } from '../gen/trustedpods/v0/pricing_pb.ts'
import { PRICED_RESOURCES, START } from './resources.ts'

export const MAX_PRICES = 64
export const MAX_DECIMALS = 36
/** A name or a selector, bytes of UTF-16: the longest Kubernetes resource name is shorter. */
const MAX_NAME_LENGTH = 128
/** A token's symbol is shown to people: no spaces, slashes or control characters. */
const SYMBOL = /^[\p{L}\p{N}\p{S}$._+-]{1,32}$/u

/** A table whose every line can be counted and shown.
 * @throws TrustedPodsError QUOTE_PRICES_INVALID naming the line that is wrong. */
export function checkPricingTable(table: PricingTable): void {
  if (table.chainId === 0n) invalid('the chain id is 0')
  if (table.token.length !== 20) invalid(`the token has ${table.token.length} bytes, an EVM address has 20`)
  if (table.decimals > MAX_DECIMALS) invalid(`the token has ${table.decimals} decimals, at most ${MAX_DECIMALS}`)
  if (!SYMBOL.test(table.symbol)) invalid('the token symbol is empty, too long or not printable')
  if (table.prices.length > MAX_PRICES) invalid(`${table.prices.length} prices, at most ${MAX_PRICES}`)
  const seen = new Set<string>()
  for (const price of table.prices) {
    checkPrice(price)
    const key = `${price.resource}\0${price.selector}`
    if (seen.has(key)) invalid(`two prices for ${describePrice(price)}`)
    seen.add(key)
  }
}

/**
 * The line that prices a resource: the one with its selector, else the one with none.
 * A resource without a selector is priced only by the line with none. Undefined: no line.
 */
export function findPrice(table: PricingTable, resource: string, selector: string): Price | undefined {
  const lines = table.prices.filter((price) => price.resource === resource)
  return lines.find((price) => price.selector === selector) ?? lines.find((price) => price.selector === '')
}

/** Base units that a line asks for `amount`, as an unsigned integer.
 * @throws TrustedPodsError QUOTE_PRICES_INVALID when it is not 1 to 39 decimal digits. */
export function priceAmount(price: Price): bigint {
  if (!/^[0-9]{1,39}$/.test(price.amount)) invalid(`the amount of ${describePrice(price)} is not 1 to 39 digits`)
  return BigInt(price.amount)
}

function checkPrice(price: Price): void {
  const { resource, selector, kind, perQuantity, perSeconds } = price
  const name = describePrice(price)
  if (resource === '' || resource.length > MAX_NAME_LENGTH) invalid('a resource name is empty or too long')
  if (selector.length > MAX_NAME_LENGTH) invalid(`the selector of ${resource} is too long`)
  priceAmount(price)
  if (perQuantity === 0n) invalid(`${name} is priced per 0 units, at least 1`)
  const known = PRICED_RESOURCES.get(resource)?.kind
  if (kind !== (known ?? PriceKind.RESERVE))
    invalid(`${name} has price kind ${kind}, wanted ${known ?? PriceKind.RESERVE}`)
  if (kind === PriceKind.RESERVE && perSeconds === 0n) invalid(`${name} is reserved by time but priced per 0 seconds`)
  if (kind !== PriceKind.RESERVE && perSeconds !== 0n)
    invalid(`${name} does not count time but is priced per ${perSeconds} s`)
  if (resource === START && selector !== '') invalid('the price of a start has a selector')
}

function describePrice(price: Price): string {
  return price.selector === '' ? price.resource : `${price.resource} (${price.selector})`
}

function invalid(message: string): never {
  throw new TrustedPodsError('QUOTE_PRICES_INVALID', message)
}
