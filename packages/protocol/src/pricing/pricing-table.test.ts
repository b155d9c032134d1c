import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { TrustedPodsError } from '../errors.ts'
import { PriceKind, type PriceSchema, PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { checkPricingTable, findPrice, MAX_PRICES } from './pricing-table.ts'

type TableInit = MessageInitShape<typeof PricingTableSchema>
type PriceInit = MessageInitShape<typeof PriceSchema>

const CPU = { resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }

test('a table with every kind of line is well-formed', () => {
  checkPricingTable(
    table({
      prices: [
        CPU,
        { ...CPU, selector: 'Zen 5' },
        { ...CPU, resource: 'amd.com/gpu' },
        { resource: 'egress-bandwidth', kind: PriceKind.USAGE, amount: '0', perQuantity: 2n ** 30n },
        { resource: 'start', kind: PriceKind.FLAT, amount: '1', perQuantity: 1n },
      ],
    }),
  )
})

const BAD: ReadonlyArray<[why: string, init: TableInit]> = [
  ['no chain', { chainId: 0n }],
  ['a token of 19 bytes', { token: new Uint8Array(19) }],
  ['37 decimals', { decimals: 37 }],
  ['no symbol', { symbol: '' }],
  ['a symbol with a control character', { symbol: 'US\u001b[31mD' }],
  ['a symbol with a space', { symbol: 'US D' }],
  ['too many lines', { prices: Array.from({ length: MAX_PRICES + 1 }, (_, i) => ({ ...CPU, selector: `${i}` })) }],
  ['two lines for one resource', { prices: [CPU, { ...CPU, amount: '1' }] }],
]

const BAD_LINES: ReadonlyArray<[why: string, init: PriceInit]> = [
  ['no resource', { ...CPU, resource: '' }],
  ['a long resource', { ...CPU, resource: 'x'.repeat(129) }],
  ['a long selector', { ...CPU, selector: 'x'.repeat(129) }],
  ['no amount', { ...CPU, amount: '' }],
  ['a negative amount', { ...CPU, amount: '-1' }],
  ['a fraction', { ...CPU, amount: '0.5' }],
  ['no kind', { ...CPU, kind: PriceKind.UNSPECIFIED }],
  ['a kind of the future', { ...CPU, kind: 9 as PriceKind }],
  ['cpu by use', { ...CPU, kind: PriceKind.USAGE, perSeconds: 0n }],
  ['an unknown resource once', { ...CPU, resource: 'x', kind: PriceKind.FLAT, perSeconds: 0n }],
  ['per 0 of it', { ...CPU, perQuantity: 0n }],
  ['reserved per 0 seconds', { ...CPU, perSeconds: 0n }],
  [
    'traffic per second',
    { resource: 'egress-bandwidth', kind: PriceKind.USAGE, amount: '1', perQuantity: 1n, perSeconds: 1n },
  ],
  ['a start with a selector', { resource: 'start', kind: PriceKind.FLAT, amount: '1', perQuantity: 1n, selector: 'x' }],
]

const BAD_TABLES: ReadonlyArray<readonly [why: string, init: TableInit]> = [
  ...BAD,
  ...BAD_LINES.map(([why, line]): readonly [string, TableInit] => [why, { prices: [line] }]),
]

for (const [why, init] of BAD_TABLES) {
  test(`a table with ${why} is refused with QUOTE_PRICES_INVALID`, () => {
    assert.throws(
      () => checkPricingTable(table(init)),
      (error) => error instanceof TrustedPodsError && error.code === 'QUOTE_PRICES_INVALID',
    )
  })
}

test('the line of a model comes before the line of any', () => {
  const list = table({
    prices: [
      { ...CPU, amount: '1' },
      { ...CPU, amount: '2', selector: 'Zen 5' },
    ],
  })
  assert.equal(findPrice(list, 'cpu', 'Zen 5')?.amount, '2')
  assert.equal(findPrice(list, 'cpu', 'Zen 4')?.amount, '1')
  assert.equal(findPrice(list, 'cpu', '')?.amount, '1')
  assert.equal(findPrice(list, 'memory', ''), undefined)
})

function table(init: TableInit) {
  const base = { chainId: 31_337n, token: new Uint8Array(20), decimals: 6, symbol: 'USDC', prices: [CPU] }
  return create(PricingTableSchema, { ...base, ...init } as TableInit)
}
