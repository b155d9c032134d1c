/** JSON that came from outside, as an object whose values are still unknown. Pure. */
import { refused } from './refused.ts'

export type JsonObject = Record<string, unknown>

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED where the bytes are not UTF-8, not JSON or not an object. */
export function parseJsonObject(bytes: Uint8Array, name: string): JsonObject {
  return asJsonObject(parseJson(bytes, name), name)
}

export function asJsonObject(value: unknown, name: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refused(`${name}: not a JSON object`)
  return value as JsonObject
}

export function asJsonArray(value: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(value)) throw refused(`${name}: not a JSON list`)
  return value
}

/** For records whose every key has a meaning that must not be missed. */
export function refuseOtherKeys(object: JsonObject, known: readonly string[], name: string): void {
  const other = Object.keys(object).filter((key) => !known.includes(key))
  if (other.length > 0) throw refused(`${name}: unknown key ${JSON.stringify(other[0]?.slice(0, 64))}`)
}

function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    // The parser's message quotes the text, which may hold a key.
    throw refused(`${name}: not JSON`)
  }
}
