import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { type ErrorCode, TrustedPodsError } from '../errors.ts'
import { PriceKind, PriceSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { formatAmount, formatPrice, parseAmount, parsePrice } from './notation.ts'
import { PRICED_RESOURCES } from './resources.ts'

const USDC = { decimals: 6, symbol: 'USDC' }
const GIB = 2n ** 30n

const PRICES: ReadonlyArray<[text: string, resource: string, amount: string, perQuantity: bigint, perSeconds: bigint]> =
  [
    ['0.045 USDC per vCPU-hour', 'cpu', '45000', 1000n, 3600n],
    ['0.08/GiB-month', 'storage', '80000', GIB, 2_628_000n],
    ['1 USDC per 1000 GiB', 'egress-bandwidth', '1000000', 1000n * GIB, 0n],
    ['2.5 per GPU-hour', 'nvidia.com/gpu', '2500000', 1n, 3600n],
    ['0.000001 USDC / mCPU-second', 'cpu', '1', 1n, 1n],
    ['3 per 10 IP-days', 'trustedpods/ip', '3000000', 10n, 86_400n],
    ['0.5 USDC per port-5400s', 'trustedpods/port', '500000', 1n, 5400n],
    ['  0.0100 USDC  per  start ', 'start', '10000', 1n, 0n],
    ['0 per start', 'start', '0', 1n, 0n],
    ['0.0000000 per vCPU-hour', 'cpu', '0', 1000n, 3600n],
  ]

for (const [text, resource, amount, perQuantity, perSeconds] of PRICES) {
  test(`"${text}" is a price of ${resource}`, () => {
    const price = parsePrice(text, { resource, ...USDC })
    assert.deepEqual([price.amount, price.perQuantity, price.perSeconds], [amount, perQuantity, perSeconds])
    assert.equal(price.kind, PRICED_RESOURCES.get(resource)?.kind)
    assert.deepEqual(parsePrice(formatPrice(price, USDC), { resource, ...USDC }), price)
  })
}

const REFUSED: ReadonlyArray<[text: string, resource: string, why: RegExp]> = [
  ['', 'cpu', /is no price, wanted one like "0.045 per vCPU-hour"/],
  ['0.045', 'cpu', /is no price/],
  ['0.045 USDC vCPU-hour', 'cpu', /is no price/],
  ['x per vCPU-hour', 'cpu', /is no amount/],
  ['-1 per vCPU-hour', 'cpu', /is no amount/],
  ['1e-3 per vCPU-hour', 'cpu', /the amount is in "e-3"|is no amount/],
  ['.5 per vCPU-hour', 'cpu', /is no amount/],
  ['1,5 per vCPU-hour', 'cpu', /the amount is in ",5"/],
  ['1 EUR per vCPU-hour', 'cpu', /the amount is in "EUR", wanted USDC/],
  ['1 per vCPU', 'cpu', /lacks a period/],
  ['1 per GiB-hour', 'egress-bandwidth', /time does not count, wanted one like "per GiB"/],
  ['1 per GiB-hour', 'cpu', /"GiB" is no unit of it, known are vCPU, mCPU/],
  ['1 per vCPU-fortnight', 'cpu', /"fortnight" is no period, known are second, minute, hour, day, month/],
  ['1 per vCPU-0s', 'cpu', /is no period/],
  ['1 per 0 vCPU-hours', 'cpu', /per nothing/],
  ['1 per 1.5 vCPU-hours', 'cpu', /is no unit/],
  ['1 per 999999999999999 TiB', 'egress-bandwidth', /more than 64 bits hold/],
  ['1 per vCPU-hour', 'cpus', /cpus is no resource; known are cpu, memory/],
  [`1 per ${'v'.repeat(200)}`, 'cpu', /is no price/],
]

for (const [text, resource, why] of REFUSED) {
  test(`"${text.slice(0, 40)}" is refused as a price of ${resource}`, () => {
    assertRefused('QUOTE_PRICES_INVALID', why, () => parsePrice(text, { resource, ...USDC }))
  })
}

test('more digits than the token has are refused with the wider unit in which the price can be said', () => {
  const said = { resource: 'cpu', ...USDC }
  assertRefused(
    'QUOTE_PRICES_INVALID',
    /0\.0000125 has more digits than USDC has \(6\); say it per more: "0\.000125 per 10 vCPU-hours"/,
    () => parsePrice('0.0000125 per vCPU-hour', said),
  )
  const price = parsePrice('0.000125 per 10 vCPU-hours', said)
  assert.deepEqual([price.amount, price.perQuantity], ['125', 10_000n])
  assertRefused('QUOTE_PRICES_INVALID', /"0\.000003 per 500 GiB"/, () =>
    parsePrice('0.00000003 USDC/5 GiB', { resource: 'egress-bandwidth', ...USDC }),
  )
  assertRefused('QUOTE_PRICES_INVALID', /"15 per 10 starts"/, () =>
    parsePrice('1.5 per start', { resource: 'start', decimals: 0, symbol: 'W' }),
  )
})

test('every price that a table can hold is written and read back unchanged', () => {
  const anyPrice = fc
    .record({
      resource: fc.constantFrom(...PRICED_RESOURCES.keys()),
      amount: fc.bigInt(0n, 10n ** 30n),
      perQuantity: fc.oneof(
        fc.bigInt(1n, 10n ** 15n - 1n),
        fc.constantFrom(1000n, GIB, 10n * GIB, 10n ** 9n, 2n ** 40n),
      ),
      perSeconds: fc.oneof(fc.bigInt(1n, 10n ** 12n - 1n), fc.constantFrom(1n, 60n, 3600n, 86_400n, 2_628_000n)),
      decimals: fc.nat(36),
    })
    .map(({ resource, amount, perQuantity, perSeconds, decimals }) => {
      const kind = PRICED_RESOURCES.get(resource)?.kind ?? PriceKind.UNSPECIFIED
      const time = kind === PriceKind.RESERVE ? perSeconds : 0n
      return {
        decimals,
        price: create(PriceSchema, { resource, kind, amount: amount.toString(), perQuantity, perSeconds: time }),
      }
    })
  fc.assert(
    fc.property(anyPrice, ({ price, decimals }) => {
      const token = { decimals, symbol: 'USD₮0' }
      const text = formatPrice(price, token)
      assert.doesNotMatch(text, /[0-9]e/i)
      assert.deepEqual(parsePrice(text, { resource: price.resource, ...token }), price)
    }),
    { numRuns: 1000 },
  )
})

test('amounts are written with the digits that count and read back unchanged', () => {
  assert.equal(formatAmount(45_000n, USDC), '0.045 USDC')
  assert.equal(formatAmount(1n, USDC), '0.000001 USDC')
  assert.equal(formatAmount(12_000_000n, USDC), '12 USDC')
  assert.equal(formatAmount(0n, USDC), '0 USDC')
  assert.equal(formatAmount(-1_500_000n, USDC), '-1.5 USDC')
  assert.equal(formatAmount(15n, { decimals: 0, symbol: 'W' }), '15 W')
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 256n - 1n), fc.nat(36), (units, decimals) => {
      const token = { decimals, symbol: 'USDC' }
      assert.equal(parseAmount(formatAmount(units, token), token), units)
      assert.equal(parseAmount(formatAmount(units, token).replace(' USDC', ''), token), units)
    }),
  )
})

test('an amount in another token, with too many digits, or that is no amount is refused with CHANNEL_BAD_AMOUNT', () => {
  assertRefused('CHANNEL_BAD_AMOUNT', /the amount is in "EUR", wanted USDC/, () => parseAmount('1 EUR', USDC))
  assertRefused('CHANNEL_BAD_AMOUNT', /has 7 digits after the point, USDC has 6/, () => parseAmount('0.0000001', USDC))
  for (const text of ['', ' ', '-1', '+1', '.5', '1.', 'USDC', '0x10', '1e3', '1 000', '٣', '9'.repeat(200)]) {
    assertRefused('CHANNEL_BAD_AMOUNT', /./, () => parseAmount(text, USDC))
  }
  assert.equal(parseAmount('1.5000000 USDC', USDC), 1_500_000n)
})

test('no text makes the parsers throw anything but their own error', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.stringMatching(/^[0-9. ]{0,8}(USDC)?( per |\/)[0-9]{0,3} ?[A-Za-z]{0,5}-?[a-z0-9]{0,6}$/),
      ),
      (text) => {
        for (const parse of [() => parsePrice(text, { resource: 'cpu', ...USDC }), () => parseAmount(text, USDC)]) {
          try {
            parse()
          } catch (error) {
            assert.ok(error instanceof TrustedPodsError)
          }
        }
      },
    ),
  )
})

function assertRefused(code: ErrorCode, message: RegExp, act: () => unknown): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof TrustedPodsError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}
