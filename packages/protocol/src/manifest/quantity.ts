/**
 * Kubernetes quantities to integers and back, exactly: digits with an optional fraction and one suffix of n u m k M G T P E,
 * Ki Mi Gi Ti Pi Ei, or e±N. Kubernetes rounds up what does not fit its unit; here that is refused. Spec:
 * spec/MANIFEST.md#quantities. Pure.
 */
import { TrustedPodsError } from '../errors.ts'

export interface QuantityOptions {
  /** milli: "1" is 1000n, as for cpu; one: "1" is 1n. Default: one. */
  readonly unit?: 'milli' | 'one'
}

export type QuantityReading =
  | { readonly kind: 'quantity'; readonly quantity: bigint }
  | { readonly kind: 'problem'; readonly message: string; readonly hint?: string }

/** 2^63 - 1, as in Kubernetes: fits every signed 64-bit integer on the way. */
export const MAX_QUANTITY = 2n ** 63n - 1n
/** Longer text is no amount that a person wrote. */
const MAX_TEXT = 64

const DECIMAL = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 } as const
const BINARY = { Ki: 10n, Mi: 20n, Gi: 30n, Ti: 40n, Pi: 50n, Ei: 60n } as const
const FORM = /^([+-]?)(\d+\.?\d*|\.\d+)([A-Za-z]*|[eE][+-]?\d+)$/

/** @throws TrustedPodsError MANIFEST_INVALID for what is no quantity, is negative, too large or no whole number of units. */
export function parseQuantity(text: string, options: QuantityOptions = {}): bigint {
  const reading = readQuantity(text, options)
  if (reading.kind === 'quantity') return reading.quantity
  const hint = reading.hint === undefined ? '' : ` (${reading.hint})`
  throw new TrustedPodsError('MANIFEST_INVALID', `${reading.message}${hint}`)
}

/** Never throws. */
export function readQuantity(text: string, options: QuantityOptions = {}): QuantityReading {
  const shown = JSON.stringify(text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text)
  const match = text.length > MAX_TEXT ? null : FORM.exec(text)
  if (match === null) return notAQuantity(text, shown)
  const [, sign = '', digits = '', suffix = ''] = match
  const scale = suffixScale(suffix)
  if (scale === undefined) return unknownSuffix(suffix, shown)
  const [whole = '', fraction = ''] = digits.split('.')
  const number = BigInt(whole + fraction)
  if (sign === '-' && number > 0n) return { kind: 'problem', message: `${shown} is negative, wanted 0 or more` }
  const power = scale.decimal - fraction.length + (options.unit === 'milli' ? 3 : 0)
  return toInteger(number * scale.binary, power, shown, options)
}

/** The shortest exact form: "1500m" and "2" of millicores, "64Mi", "1G", "1000001" of anything else. */
export function formatQuantity(quantity: bigint, options: QuantityOptions = {}): string {
  if (options.unit === 'milli') return quantity % 1000n === 0n ? String(quantity / 1000n) : `${quantity}m`
  if (quantity === 0n) return '0'
  for (const [suffix, shift] of Object.entries(BINARY).toReversed()) {
    if (quantity % (1n << shift) === 0n) return `${quantity >> shift}${suffix}`
  }
  for (const [suffix, power] of Object.entries(DECIMAL).toReversed()) {
    if (power > 0 && quantity % 10n ** BigInt(power) === 0n) return `${quantity / 10n ** BigInt(power)}${suffix}`
  }
  return String(quantity)
}

interface Scale {
  readonly binary: bigint
  /** Power of ten. */
  readonly decimal: number
}

function suffixScale(suffix: string): Scale | undefined {
  for (const [name, shift] of Object.entries(BINARY)) if (name === suffix) return { binary: 1n << shift, decimal: 0 }
  for (const [name, power] of Object.entries(DECIMAL)) if (name === suffix) return { binary: 1n, decimal: power }
  // "1E" is exa, "1E3" an exponent; six digits are already far out of range and no work.
  const exponent = /^[eE]([+-]?\d{1,6})$/.exec(suffix)?.[1]
  return exponent === undefined ? undefined : { binary: 1n, decimal: Number(exponent) }
}

/** number x 10^power, where that is a whole number in range. */
function toInteger(number: bigint, power: number, shown: string, options: QuantityOptions): QuantityReading {
  if (number === 0n) return { kind: 'quantity', quantity: 0n }
  // Far past 2^63 or far below one unit, whatever the digits: no need to compute it.
  if (power > MAX_TEXT) return tooLarge(shown, options)
  const divisor = power < 0 ? 10n ** BigInt(Math.min(-power, 3 * MAX_TEXT)) : 1n
  const multiplied = power > 0 ? number * 10n ** BigInt(power) : number
  if (multiplied % divisor !== 0n) return fractional(shown, options)
  const quantity = multiplied / divisor
  return quantity > MAX_QUANTITY ? tooLarge(shown, options) : { kind: 'quantity', quantity }
}

function tooLarge(shown: string, options: QuantityOptions): QuantityReading {
  const most = formatQuantity(MAX_QUANTITY, options)
  return { kind: 'problem', message: `${shown} is too large, wanted at most ${most}` }
}

function fractional(shown: string, options: QuantityOptions): QuantityReading {
  if (options.unit === 'milli') return { kind: 'problem', message: `${shown} has a part below a thousandth (1m)` }
  const message = `${shown} is not a whole number`
  return shown.endsWith('m"')
    ? { kind: 'problem', message, hint: 'm is a thousandth; M or Mi is a million' }
    : { kind: 'problem', message }
}

function notAQuantity(text: string, shown: string): QuantityReading {
  const message = `${shown} is not a quantity, wanted a number and a suffix such as 500m, 2, 64Mi, 1Gi, 1G`
  return /^\d[\d.]*\s+[A-Za-z]+$/.test(text)
    ? { kind: 'problem', message, hint: `no blank before the suffix: ${text.replace(/\s+/, '')}` }
    : { kind: 'problem', message }
}

function unknownSuffix(suffix: string, shown: string): QuantityReading {
  const message = `${shown} has an unknown suffix ${JSON.stringify(suffix)}, wanted one of m k M G T P E Ki Mi Gi Ti Pi Ei`
  const letters = suffix.replace(/(?<=.)b$/i, '').replace(/^[kK]i$/, 'Ki')
  const known = [...Object.keys(DECIMAL), ...Object.keys(BINARY)].filter((name) => name !== '')
  const meant =
    known.find((name) => name === letters) ?? known.find((name) => name.toLowerCase() === letters.toLowerCase())
  return meant === undefined
    ? { kind: 'problem', message }
    : { kind: 'problem', message, hint: `did you mean ${meant}?` }
}
