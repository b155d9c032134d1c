import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TrustedPodsError } from '../errors.ts'
import { formatQuantity, MAX_QUANTITY, parseQuantity, type QuantityOptions, readQuantity } from './quantity.ts'

const MILLI: QuantityOptions = { unit: 'milli' }

// Forms and meanings: Kubernetes, "Resource management for pods and containers" and apimachinery's resource.Quantity.
const VALUES: readonly [text: string, quantity: bigint, options?: QuantityOptions][] = [
  ['0', 0n],
  ['-0', 0n],
  ['+7', 7n],
  ['128974848', 128974848n],
  ['129e6', 129000000n],
  ['129M', 129000000n],
  ['128974848000m', 128974848n],
  ['123Mi', 128974848n],
  ['1E', 10n ** 18n],
  ['1E3', 1000n],
  ['1e+3', 1000n],
  ['25e2', 2500n],
  ['1.5Gi', 1610612736n],
  ['1.5k', 1500n],
  ['.5k', 500n],
  ['5.k', 5000n],
  ['0.0009765625Ki', 1n],
  ['7Ei', 7n << 60n],
  ['1Pi', 1n << 50n],
  ['1Ti', 1n << 40n],
  ['2T', 2n * 10n ** 12n],
  ['3P', 3n * 10n ** 15n],
  ['2000000u', 2n],
  ['3000000000n', 3n],
  ['9223372036854775807', MAX_QUANTITY],
  ['0e999999', 0n],
  ['1', 1000n, MILLI],
  ['0.5', 500n, MILLI],
  ['100m', 100n, MILLI],
  ['1500m', 1500n, MILLI],
  ['0.001', 1n, MILLI],
  ['2k', 2000000n, MILLI],
  ['5e-3', 5n, MILLI],
]

test('quantities mean what Kubernetes says they mean', () => {
  for (const [text, quantity, options] of VALUES) assert.equal(parseQuantity(text, options), quantity, text)
})

const REFUSED: readonly [text: string, message: RegExp, options?: QuantityOptions][] = [
  ['', /"" is not a quantity/],
  ['.', /not a quantity/],
  ['1.2.3', /not a quantity/],
  ['--1', /not a quantity/],
  ['0x10', /unknown suffix "x10"|not a quantity/],
  ['1_000', /not a quantity/],
  ['1 Gi', /no blank before the suffix: 1Gi/],
  ['Infinity', /not a quantity/],
  ['-1', /"-1" is negative/],
  ['-1m', /negative/, MILLI],
  ['1.5', /"1.5" is not a whole number/],
  ['100m', /not a whole number \(m is a thousandth/],
  ['0.1Ki', /not a whole number/],
  ['1e-1', /not a whole number/],
  ['1e-999999', /not a whole number/],
  ['0.0005', /below a thousandth/, MILLI],
  ['1u', /below a thousandth/, MILLI],
  ['9223372036854775808', /too large, wanted at most/],
  ['8Ei', /too large/],
  ['1e19', /too large/],
  ['1e999999', /too large/],
  ['9223372036854775808m', /too large/, MILLI],
  ['1K', /unknown suffix "K".*did you mean k\?/],
  ['1g', /did you mean G\?/],
  ['1GB', /did you mean G\?/],
  ['1MiB', /did you mean Mi\?/],
  ['1kib', /did you mean Ki\?/],
  ['1gi', /did you mean Gi\?/],
  ['5cores', /unknown suffix "cores"/],
  ['1'.repeat(65), /not a quantity/],
]

test('what is no whole number of units in range is refused with MANIFEST_INVALID', () => {
  for (const [text, message, options] of REFUSED) {
    assert.throws(
      () => parseQuantity(text, options),
      (error) => error instanceof TrustedPodsError && error.code === 'MANIFEST_INVALID' && message.test(error.message),
      text,
    )
  }
})

test('a quantity is written in its shortest exact form', () => {
  const forms: readonly [bigint, string, QuantityOptions?][] = [
    [0n, '0'],
    [1n, '1'],
    [1023n, '1023'],
    [1024n, '1Ki'],
    [64n << 20n, '64Mi'],
    [1610612736n, '1536Mi'],
    [10n ** 9n, '1G'],
    [1500000n, '1500k'],
    [1000001n, '1000001'],
    [MAX_QUANTITY, '9223372036854775807'],
    [0n, '0', MILLI],
    [100n, '100m', MILLI],
    [1500n, '1500m', MILLI],
    [2000n, '2', MILLI],
  ]
  for (const [quantity, text, options] of forms) assert.equal(formatQuantity(quantity, options), text)
})

test('what is written is read back, in both units', () => {
  const shifted = fc.tuple(fc.bigInt(0n, 4096n), fc.integer({ min: 0, max: 51 })).map(([n, bits]) => n << BigInt(bits))
  const rounded = fc
    .tuple(fc.bigInt(0n, 9n), fc.integer({ min: 0, max: 18 }))
    .map(([n, zeros]) => n * 10n ** BigInt(zeros))
  const quantities = fc.oneof(fc.bigInt(0n, MAX_QUANTITY), shifted, rounded)
  fc.assert(
    fc.property(quantities, fc.constantFrom<'milli' | 'one'>('milli', 'one'), (quantity, unit) => {
      assert.equal(parseQuantity(formatQuantity(quantity, { unit }), { unit }), quantity)
    }),
  )
})

test('any number with any suffix is exact or refused: read against plain rational arithmetic', () => {
  const powers: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 }
  const binaries: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 }
  const suffix = fc.constantFrom(...Object.keys(powers), ...Object.keys(binaries))
  const digits = fc.tuple(
    fc.bigInt(0n, 10n ** 12n),
    fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: 12 }),
  )
  fc.assert(
    fc.property(digits, suffix, fc.boolean(), ([whole, fraction], unit, milli) => {
      const power = (powers[unit] ?? 0) + (milli ? 3 : 0)
      const shift = 1n << BigInt(binaries[unit] ?? 0)
      const numerator = BigInt(`${whole}${fraction}`) * shift * 10n ** BigInt(Math.max(power, 0))
      const denominator = 10n ** BigInt(fraction.length + Math.max(-power, 0))
      const text = fraction === '' ? `${whole}${unit}` : `${whole}.${fraction}${unit}`
      const reading = readQuantity(text, { unit: milli ? 'milli' : 'one' })
      const exact = numerator % denominator === 0n && numerator / denominator <= MAX_QUANTITY
      assert.equal(reading.kind, exact ? 'quantity' : 'problem', text)
      if (reading.kind === 'quantity') assert.equal(reading.quantity, numerator / denominator, text)
    }),
  )
})

test('no text makes the reader throw', () => {
  fc.assert(fc.property(fc.string(), (text) => void readQuantity(text)))
})
