/** Strict reading of JSON from outside: keys that we do not know are passed over, those that we need must be right. Pure. */
import { fromHex } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'

/** Most items of one list: Intel's longest has about 20. */
const MAX_ITEMS = 256

/** The document of some bytes. @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED, as every function here. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body))
  } catch {
    // The parser's words would repeat the peer's.
    throw malformed('body', 'JSON in UTF-8')
  }
}

export function readObject(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(path, 'an object')
  return value as Record<string, unknown>
}

export function readArray<T>(value: unknown, path: string, readItem: (item: unknown, path: string) => T): T[] {
  if (!Array.isArray(value) || value.length > MAX_ITEMS) throw malformed(path, `a list of at most ${MAX_ITEMS}`)
  return value.map((item: unknown, i) => readItem(item, `${path}[${i}]`))
}

export function readText(value: unknown, path: string): string {
  if (typeof value !== 'string') throw malformed(path, 'a string')
  return value
}

/** A whole number from 0 to `max`. */
export function readNumber(value: unknown, path: string, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value
  throw malformed(path, `a whole number up to ${max}`)
}

export function readBytes(value: unknown, path: string, length: number): Uint8Array {
  const bytes = typeof value === 'string' && value.length === 2 * length ? fromHex(value) : undefined
  if (bytes?.length !== length) throw malformed(path, `${2 * length} hex digits`)
  return bytes
}

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** A point of time in UTC with whole seconds, as Intel writes it. */
export function readDate(value: unknown, path: string): Date {
  const date = new Date(typeof value === 'string' && ISO.test(value) ? value : Number.NaN)
  if (Number.isNaN(date.getTime())) throw malformed(path, 'a time such as 2026-06-01T00:00:00Z')
  return date
}

export function malformed(path: string, wanted: string): TrustedPodsError {
  return new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `JSON ${path}: expected ${wanted}`)
}
