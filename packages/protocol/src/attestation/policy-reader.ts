/** Strict reading of a parsed document: every failure names the path, what was wanted and what was there. Pure. */
import { TrustedPodsError } from '../errors.ts'

/** Longest list that a policy may hold. */
const MAX_ITEMS = 256
/** Longest piece of a wrong value that an error repeats, characters. */
const MAX_SHOWN = 80

/** The error for a value at a path; to be thrown by the caller. */
export function refuse(path: string, wanted: string, got: unknown): TrustedPodsError {
  return new TrustedPodsError('ATTEST_POLICY_INVALID', `${path}: expected ${wanted}, got ${show(got)}`)
}

/** An object that has every required key and no unknown one. */
export function readRecord<const R extends string, const O extends string = never>(
  value: unknown,
  path: string,
  required: readonly R[],
  optional: readonly O[] = [],
): Record<R | O, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse(path, 'a mapping', value)
  const known: readonly string[] = [...required, ...optional]
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw refuse(`${path}.${key}`, `one of the keys ${known.join(', ')}`, 'an unknown key')
  }
  for (const key of required) {
    if (!Object.hasOwn(value, key)) throw refuse(`${path}.${key}`, 'a value', undefined)
  }
  return value as Record<R | O, unknown>
}

export function readList<T>(value: unknown, path: string, readItem: (item: unknown, path: string) => T): T[] {
  if (!Array.isArray(value)) throw refuse(path, 'a list', value)
  if (value.length > MAX_ITEMS) throw refuse(path, `at most ${MAX_ITEMS} items`, value.length)
  return value.map((item: unknown, i) => readItem(item, `${path}[${i}]`))
}

export function readOneOf<const T>(value: unknown, path: string, allowed: readonly T[]): T {
  const found = allowed.find((item) => item === value)
  if (found === undefined) throw refuse(path, `one of ${allowed.map(String).join(', ')}`, value)
  return found
}

export function readInteger(value: unknown, path: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw refuse(path, `a whole number from ${min} to ${max}`, value)
}

/** Lower-case hex of exactly `length` bytes. */
export function readHex(value: unknown, path: string, length: number): string {
  if (typeof value === 'string' && value.length === 2 * length && /^[0-9a-fA-F]*$/.test(value)) {
    return value.toLowerCase()
  }
  throw refuse(path, `${2 * length} hex digits (quoted)`, value)
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : typeof value === 'string' ? value : describe(value)
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN - 3)}...`
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  return typeof value === 'object' && value !== null ? 'a mapping' : String(value)
}
