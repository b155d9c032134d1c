/**
 * A provider's price list in YAML, with prices as people write them, to the table on the wire. Every mistake is reported with its line
 * and column. Spec: spec/PRICING.md#list. Pure.
 */
import { create } from '@bufbuild/protobuf'
import type { Address } from 'viem'
import { fromHex } from '../bytes.ts'
import { fromAddress } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import { type Price, type PricingTable, PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { isMissing, readFields, readInteger, readMap, readText } from '../manifest/fields.ts'
import { formatProblem } from '../manifest/problem.ts'
import { fail, readYaml, type YamlEntry, type YamlNode } from '../manifest/yaml-tree.ts'
import { parsePrice, type TokenUnit } from './notation.ts'
import { checkPricingTable, MAX_DECIMALS } from './pricing-table.ts'
import { PRICED_RESOURCES } from './resources.ts'

export interface PriceListOptions {
  readonly chainId: number | bigint
  /** The token where the list names none; a list that names another is refused. */
  readonly token?: Address
  /** The file's name, for messages. */
  readonly file?: string
}

const KEYS = ['token', 'decimals', 'symbol', 'prices'] as const
/** Stands for the line without a selector where a resource has several. */
export const ANY_SELECTOR = 'any'
const MAX_PROBLEMS = 20

/** @throws TrustedPodsError QUOTE_PRICES_INVALID, one line "file:line:column: message" for each mistake. */
export function parsePriceList(text: string, options: PriceListOptions): PricingTable {
  const { root, report } = readYaml(text, { file: options.file ?? 'prices' })
  const table = root === undefined ? undefined : readTable(root, options)
  const problems = report.problems().filter(({ severity }) => severity === 'error')
  if (problems.length > 0) invalid(problems.slice(0, MAX_PROBLEMS).map(formatProblem).join('\n'))
  if (table === undefined) invalid(`${options.file ?? 'prices'}:1:1: nothing is written here`)
  checkPricingTable(table)
  return table
}

function readTable(root: YamlNode, options: PriceListOptions): PricingTable {
  const fields = readFields(root, KEYS)
  for (const key of ['decimals', 'symbol', 'prices'])
    if (root.kind === 'map' && isMissing(root, key)) fail(root, `${key} is missing`)
  const decimals =
    fields.decimals === undefined ? 0 : (readInteger(fields.decimals, { min: 0, max: MAX_DECIMALS }) ?? 0)
  const symbol = fields.symbol === undefined ? '' : readText(fields.symbol, 'the symbol of the token')
  return create(PricingTableSchema, {
    chainId: BigInt(options.chainId),
    token: readToken(root, fields.token, options.token),
    decimals,
    symbol,
    prices: fields.prices === undefined ? [] : readPrices(fields.prices, { decimals, symbol }),
  })
}

function readToken(root: YamlNode, node: YamlNode | undefined, given: Address | undefined): Uint8Array {
  const own = given === undefined ? undefined : fromAddress(given)
  if (node === undefined) {
    if (own === undefined)
      fail(root, 'token is missing', { hint: 'the address of the ERC-20 token, 0x and 40 hex digits' })
    return own ?? new Uint8Array(20)
  }
  const text = readText(node, 'the address of the token')
  const seen = fromHex(text)
  if (!text.startsWith('0x') || seen?.length !== 20)
    fail(node, `${text.slice(0, 64)} is no address, wanted 0x and 40 hex digits`)
  else if (own !== undefined && text.toLowerCase() !== given?.toLowerCase())
    fail(node, `token ${text} is not the chain's token ${given}`)
  return seen ?? new Uint8Array(20)
}

function readPrices(node: YamlNode, token: TokenUnit): Price[] {
  const map = readMap(node, 'a map of resources and their prices')
  return (map?.entries ?? []).flatMap((entry) => readResource(entry, token))
}

/** One price, or a map of models or classes and their prices. */
function readResource({ key, place, value }: YamlEntry, token: TokenUnit): Price[] {
  if (!PRICED_RESOURCES.has(key)) {
    fail(place, `${JSON.stringify(key)} is no resource`, {
      hint: `known resources: ${[...PRICED_RESOURCES.keys()].join(', ')}`,
    })
    return []
  }
  if (value.kind !== 'map') return readPrice(value, { resource: key, ...token })
  return value.entries.flatMap((line) => {
    const selector = line.key === ANY_SELECTOR ? '' : line.key
    return readPrice(line.value, { resource: key, selector, ...token })
  })
}

function readPrice(node: YamlNode, context: Parameters<typeof parsePrice>[1]): Price[] {
  const text = readText(node, 'a price')
  if (text === '') return []
  try {
    return [parsePrice(text, context)]
  } catch (error) {
    if (!(error instanceof TrustedPodsError)) throw error
    fail(node, error.message)
    return []
  }
}

function invalid(message: string): never {
  throw new TrustedPodsError('QUOTE_PRICES_INVALID', message)
}
