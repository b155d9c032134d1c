import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { TrustedPodsError } from '../errors.ts'
import { type Counter, CounterSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import {
  type Price,
  PriceKind,
  PriceSchema,
  type PricingTable,
  PricingTableSchema,
} from '../gen/trustedpods/v0/pricing_pb.ts'
import { cost, counters, type ResourceAmount, ratePerHour } from './price.ts'

const GIB = 2n ** 30n
const HOUR = 3600n
const MONTH = 2_628_000n

test('one vCPU and two GiB for an hour cost what the price list says, to the last unit', () => {
  const list = table(
    price('cpu', { amount: 45_000n, perQuantity: 1000n }),
    price('memory', { amount: 5_000n, perQuantity: GIB }),
  )
  const asked = [resource('cpu', 1000n), resource('memory', 2n * GIB)]
  assert.equal(cost(list, counters(asked, list, HOUR)), 55_000n)
  assert.equal(ratePerHour(list, asked), 55_000n)
  assert.deepEqual(
    counters(asked, list, HOUR).map(({ resource, value }) => [resource, value]),
    [
      ['cpu', '3600000'],
      ['memory', String(2n * GIB * HOUR)],
    ],
  )
})

test('0.08 USDC per GiB-month can be said, and is charged over ten years without drift', () => {
  const list = table(price('storage', { amount: 80_000n, perQuantity: GIB, perSeconds: MONTH }))
  const tenYears = 120n * MONTH
  assert.equal(cost(list, counters([resource('storage', 1024n * GIB)], list, tenYears)), 80_000n * 1024n * 120n)
})

test('a start is charged once, at once, and usage by what was used', () => {
  const list = table(
    flat(1_000n),
    price('egress-bandwidth', { kind: PriceKind.USAGE, amount: 10_000n, perQuantity: GIB, perSeconds: 0n }),
  )
  assert.equal(cost(list, counters([], list, 0n)), 1_000n)
  assert.equal(cost(list, counters([], list, 0n, { starts: 3n })), 3_000n)
  const usage = [resource('egress-bandwidth', GIB / 2n), resource('ingress-bandwidth', 99n * GIB)]
  const allowed = [resource('egress-bandwidth', 4n * GIB)]
  assert.equal(cost(list, counters(allowed, list, HOUR, { usage })), 6_000n)
  assert.equal(cost(list, counters(allowed, list, 225n, { usage })), 3_500n)
  assert.equal(cost(list, counters([], list, HOUR, { usage })), 1_000n)
})

test('a resource with a model takes the line of its model, else the line of any', () => {
  const gpu = (amount: bigint, selector: string) => price('nvidia.com/gpu', { amount, perQuantity: 1n, selector })
  const list = table(gpu(9n, 'H100'), gpu(5n, ''))
  assert.equal(ratePerHour(list, [resource('nvidia.com/gpu', 1n, 'H100')]), 9n)
  assert.equal(ratePerHour(list, [resource('nvidia.com/gpu', 1n, 'A10')]), 5n)
  assert.equal(ratePerHour(list, [resource('nvidia.com/gpu', 1n)]), 5n)
  const both = [resource('nvidia.com/gpu', 1n, 'A10'), resource('nvidia.com/gpu', 2n)]
  assert.deepEqual(
    counters(both, list, HOUR).map(({ selector, value }) => [selector, value]),
    [['', '10800']],
  )
  assertRefused('QUOTE_UNKNOWN_RESOURCE', () => ratePerHour(table(gpu(9n, 'H100')), [resource('nvidia.com/gpu', 1n)]))
})

test('a resource without a price is refused with QUOTE_UNKNOWN_RESOURCE, which names it and what is priced', () => {
  const list = table(price('cpu', { amount: 1n, perQuantity: 1n }), flat(1n))
  for (const name of ['memory', 'start', '']) {
    assertRefused('QUOTE_UNKNOWN_RESOURCE', () => counters([resource(name, 1n)], list, HOUR))
    assertRefused('QUOTE_UNKNOWN_RESOURCE', () => ratePerHour(list, [resource(name, 1n)]))
  }
  assert.throws(() => ratePerHour(list, [resource('memory', 1n)]), /no price for memory; priced are cpu, start/)
  assertRefused('QUOTE_UNKNOWN_RESOURCE', () => cost(list, [counter('memory', '1')]))
  assertRefused('QUOTE_UNKNOWN_RESOURCE', () => cost(list, [counter('cpu', '1', 'Zen 5')]))
})

test('a counter that is no number is refused', () => {
  const list = table(price('cpu', { amount: 1n, perQuantity: 1n }))
  for (const value of ['', '-1', '1.5', '1e3', '0x10', ' 1', '9'.repeat(79)]) {
    assertRefused('CHANNEL_RECEIPT_INVALID', () => cost(list, [counter('cpu', value)]))
  }
})

test('an amount that is no number, or a line per nothing, is refused', () => {
  for (const amount of ['', '-1', '1.5', '1e3', '9'.repeat(40)]) {
    const list = table(
      create(PriceSchema, { resource: 'cpu', kind: PriceKind.RESERVE, amount, perQuantity: 1n, perSeconds: 1n }),
    )
    assertRefused('QUOTE_PRICES_INVALID', () => ratePerHour(list, [resource('cpu', 1n)]))
  }
  assertRefused('QUOTE_PRICES_INVALID', () =>
    ratePerHour(table(price('cpu', { amount: 1n, perQuantity: 0n })), [resource('cpu', 1n)]),
  )
})

test('a rate that the escrow cannot hold is refused', () => {
  const list = table(price('cpu', { amount: 10n ** 38n, perQuantity: 1n, perSeconds: 1n }))
  assertRefused('QUOTE_PRICES_INVALID', () => ratePerHour(list, [resource('cpu', 1n)]))
})

const line = fc.record({
  amount: fc.bigInt(0n, 10n ** 9n),
  perQuantity: fc.constantFrom(1n, 7n, 1000n, GIB, 3n * GIB),
  perSeconds: fc.constantFrom(1n, 60n, HOUR, MONTH, 5_401n),
  quantity: fc.bigInt(0n, 2n ** 40n),
})
const pod = fc.array(line, { maxLength: 6 }).map((lines) => ({
  list: table(
    ...lines.map(({ amount, perQuantity, perSeconds }, i) => price(`r${i}`, { amount, perQuantity, perSeconds })),
  ),
  asked: lines.map(({ quantity }, i) => resource(`r${i}`, quantity)),
  lines,
}))
const seconds = fc.bigInt(0n, 20n * 365n * 86_400n)

test('the total never falls, is never negative, and is within one unit per line of the exact price for life', () => {
  fc.assert(
    fc.property(pod, seconds, seconds, ({ list, asked, lines }, some, more) => {
      const at = (time: bigint) => cost(list, counters(asked, list, time))
      assert.ok(at(some) >= 0n)
      assert.ok(at(some + more) >= at(some))
      for (const [i, { amount, perQuantity, perSeconds, quantity }] of lines.entries()) {
        const divisor = perQuantity * perSeconds
        const charged = cost(list, counters(asked.slice(i, i + 1), list, some))
        const error = amount * quantity * some - charged * divisor
        assert.ok(error >= 0n && error < divisor)
      }
    }),
  )
})

test('however the time is split into counters, their sum costs the same', () => {
  fc.assert(
    fc.property(pod, fc.array(fc.bigInt(1n, 100_000n), { minLength: 1, maxLength: 30 }), ({ list, asked }, spans) => {
      const pieces = spans.flatMap((span) => counters(asked, list, span))
      const whole = counters(
        asked,
        list,
        spans.reduce((sum, span) => sum + span),
      )
      assert.equal(cost(list, pieces), cost(list, whole))
    }),
  )
})

test('the cap of a channel at this rate never falls below the cost of the reservation', () => {
  fc.assert(
    fc.property(pod, seconds, ({ list, asked }, elapsed) => {
      const cap = (ratePerHour(list, asked) * elapsed) / HOUR
      assert.ok(cap >= cost(list, counters(asked, list, elapsed)))
    }),
    { numRuns: 500 },
  )
})

test('the cap never falls below the cost of what is used either, however it is used', () => {
  const priced = fc.record({ amount: fc.bigInt(0n, 10n ** 9n), quantity: fc.bigInt(0n, 2n ** 44n) })
  const used = fc.bigInt(0n, 2n ** 60n)
  fc.assert(
    fc.property(pod, priced, used, seconds, seconds, ({ list, asked }, { amount, quantity }, bytes, some, more) => {
      const traffic = price('egress-bandwidth', { kind: PriceKind.USAGE, amount, perQuantity: GIB, perSeconds: 0n })
      const [prices, resources] = [table(...list.prices, traffic), [...asked, resource('egress-bandwidth', quantity)]]
      const usage = [resource('egress-bandwidth', bytes)]
      const at = (time: bigint) => cost(prices, counters(resources, prices, time, { usage }))
      assert.ok((ratePerHour(prices, resources) * some) / HOUR >= at(some))
      assert.ok(at(some + more) >= at(some))
    }),
    { numRuns: 500 },
  )
})

test('with a start to pay the cap holds from the end of the first hour', () => {
  fc.assert(
    fc.property(pod, fc.bigInt(0n, 10n ** 9n), seconds, ({ list, asked }, amount, more) => {
      const withStart = table(...list.prices, flat(amount))
      const elapsed = HOUR + more
      const cap = (ratePerHour(withStart, asked) * elapsed) / HOUR
      assert.ok(cap >= cost(withStart, counters(asked, withStart, elapsed)))
    }),
  )
})

test('what was asked for of a resource priced by use is an allowance per hour in the rate', () => {
  const list = table(
    price('egress-bandwidth', { kind: PriceKind.USAGE, amount: 10_000n, perQuantity: GIB, perSeconds: 0n }),
  )
  assert.equal(ratePerHour(list, [resource('egress-bandwidth', 3n * GIB)]), 30_000n)
  assert.equal(cost(list, counters([resource('egress-bandwidth', 3n * GIB)], list, HOUR)), 0n)
})

function table(...prices: Price[]): PricingTable {
  return create(PricingTableSchema, {
    chainId: 31_337n,
    token: new Uint8Array(20),
    decimals: 6,
    symbol: 'USDC',
    prices,
  })
}

function price(
  resource: string,
  {
    kind = PriceKind.RESERVE,
    amount,
    perQuantity,
    perSeconds = HOUR,
    selector = '',
  }: { kind?: PriceKind; amount: bigint; perQuantity: bigint; perSeconds?: bigint; selector?: string },
): Price {
  return create(PriceSchema, { resource, kind, amount: amount.toString(), perQuantity, perSeconds, selector })
}

function flat(amount: bigint): Price {
  return create(PriceSchema, { resource: 'start', kind: PriceKind.FLAT, amount: amount.toString(), perQuantity: 1n })
}

function resource(name: string, quantity: bigint, selector = ''): ResourceAmount {
  return { name, quantity, selector }
}

function counter(resource: string, value: string, selector = ''): Counter {
  return create(CounterSchema, { resource, selector, value })
}

function assertRefused(code: string, act: () => unknown): void {
  assert.throws(act, (error) => error instanceof TrustedPodsError && error.code === code)
}
