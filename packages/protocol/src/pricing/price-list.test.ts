import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '../errors.ts'
import { PriceKind } from '../gen/trustedpods/v0/pricing_pb.ts'
import { formatPrice } from './notation.ts'
import { parsePriceList } from './price-list.ts'

const TOKEN = '0x5FbDB2315678afecb367f032d93F642f64180aa3'
const LIST = `
token: "${TOKEN}"
decimals: 6
symbol: USDC
prices:
  cpu: 0.045 USDC per vCPU-hour
  memory: 0.005/GiB-hour
  nvidia.com/gpu:
    H100: 2.5 USDC per GPU-hour
    any: 1 USDC per GPU-hour
  egress-bandwidth: 0.01 per GiB
  start: 0.001 per start
`

test('a price list becomes the table on the wire', () => {
  const table = parsePriceList(LIST, { chainId: 31_337 })
  assert.equal(table.chainId, 31_337n)
  assert.equal(table.token.length, 20)
  assert.deepEqual(
    table.prices.map((price) => [price.resource, price.selector, price.kind, formatPrice(price, table)]),
    [
      ['cpu', '', PriceKind.RESERVE, '0.045 USDC per vCPU-hour'],
      ['memory', '', PriceKind.RESERVE, '0.005 USDC per GiB-hour'],
      ['nvidia.com/gpu', 'H100', PriceKind.RESERVE, '2.5 USDC per GPU-hour'],
      ['nvidia.com/gpu', '', PriceKind.RESERVE, '1 USDC per GPU-hour'],
      ['egress-bandwidth', '', PriceKind.USAGE, '0.01 USDC per GiB'],
      ['start', '', PriceKind.FLAT, '0.001 USDC per start'],
    ],
  )
})

test('the token can come from the configuration of the chain', () => {
  const withoutToken = LIST.replace(/^token:.*$/m, '')
  const table = parsePriceList(withoutToken, { chainId: 31_337n, token: TOKEN })
  assert.deepEqual(table, parsePriceList(LIST, { chainId: 31_337n, token: TOKEN }))
})

const REFUSED: ReadonlyArray<[why: string, text: string, message: RegExp]> = [
  ['nothing', '', /^prices:1:1: /],
  ['no map', '- 1', /^prices:1:1: /],
  ['YAML that is cut off', 'prices: {', /^prices:1:\d+: /],
  ['no token', LIST.replace(/^token:.*$/m, ''), /token is missing/],
  ['a bad token', LIST.replace(TOKEN, '0x12'), /^prices:2:8: 0x12 is no address/],
  ['no decimals', LIST.replace(/^decimals:.*$/m, ''), /decimals is missing/],
  ['37 decimals', LIST.replace('decimals: 6', 'decimals: 37'), /^prices:3:11: /],
  ['no symbol', LIST.replace(/^symbol:.*$/m, ''), /symbol is missing/],
  ['an unknown key', `${LIST}escrow: x\n`, /^prices:13:1: unknown key/],
  ['a mistyped resource', LIST.replace('memory', 'memroy'), /^prices:7:3: "memroy" is no resource/],
  ['a bad price', LIST.replace('0.005/GiB-hour', '0.005 per GiB'), /^prices:7:11: "per GiB" lacks a period/],
  ['too many digits', LIST.replace('0.045', '0.0000455'), /^prices:6:8: 0\.0000455 USDC has more digits than USDC has/],
  ['a bad price of a model', LIST.replace('2.5 USDC', '2.5 EUR'), /^prices:9:11: the amount is in "EUR"/],
  ['a price that is a list', LIST.replace('0.005/GiB-hour', '[1]'), /^prices:7:11: /],
  ['one resource twice', `${LIST}  cpu: 1 per vCPU-hour\n`, /^prices:13:3: /],
]

for (const [why, text, message] of REFUSED) {
  test(`a list with ${why} is refused with its line and column`, () => {
    assert.throws(
      () => parsePriceList(text, { chainId: 31_337 }),
      (error) => {
        assert.ok(error instanceof TrustedPodsError)
        assert.equal(error.code, 'QUOTE_PRICES_INVALID')
        assert.match(error.message, message)
        return true
      },
    )
  })
}

test('all mistakes of a list are told at once', () => {
  const text = LIST.replace('memory', 'memroy').replace('0.045', '0.0000455')
  assert.throws(
    () => parsePriceList(text, { chainId: 31_337, file: 'prices.yml' }),
    /^TrustedPodsError: prices\.yml:6:8: .*\nprices\.yml:7:3: /,
  )
})

test('a list of another token than the chain is set to is refused', () => {
  const other = '0x0000000000000000000000000000000000000001'
  assert.throws(() => parsePriceList(LIST, { chainId: 31_337, token: other }), /is not the chain's token/)
})

test('a list cut off anywhere is a whole list or our own error', () => {
  for (let length = 0; length < LIST.length; length++) {
    try {
      parsePriceList(LIST.slice(0, length), { chainId: 31_337 })
    } catch (error) {
      assert.ok(error instanceof TrustedPodsError, `cut at ${length}: ${String(error)}`)
    }
  }
})
