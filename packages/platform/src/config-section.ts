/** Reads a configuration file strictly: YAML, every key known, every value checked, each fault named by file and key. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { checksum, validate } from 'ox/Address'
import type { Address } from 'viem'
import { parseDocument } from 'yaml'

/** The file's root. @throws TrustedPodsError PLATFORM_CONFIG when it is no YAML mapping. */
export function parseConfigFile(text: string, path: string): ConfigSection {
  const document = parseDocument(text)
  const [error] = document.errors
  if (error) throw new TrustedPodsError('PLATFORM_CONFIG', `${path}: ${error.message}`)
  try {
    return new ConfigSection(document.toJS({ maxAliasCount: 0 }) ?? {}, path, '')
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    throw new TrustedPodsError('PLATFORM_CONFIG', `${path}: aliases are not read`, { cause })
  }
}

/** A mapping of the file and where it stands in it. */
export class ConfigSection {
  readonly #values: Record<string, unknown>
  readonly #file: string
  readonly #at: string

  constructor(value: unknown, file: string, at: string) {
    this.#file = file
    this.#at = at
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.#error(at, 'must be a mapping')
    this.#values = value as Record<string, unknown>
  }

  only(...known: string[]): void {
    for (const key of Object.keys(this.#values)) {
      if (!known.includes(key)) this.fail(key, `is unknown; known are ${known.join(', ')}`)
    }
  }

  value(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? (this.#values[key] ?? undefined) : undefined
  }

  section(key: string): ConfigSection | undefined {
    const value = this.value(key)
    return value === undefined ? undefined : new ConfigSection(value, this.#file, this.#path(key))
  }

  optionalText(key: string): string | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    return typeof value === 'string' && value !== '' ? value : this.fail(key, 'must be text')
  }

  text(key: string): string {
    return this.optionalText(key) ?? this.fail(key, 'is missing')
  }

  chainId(key: string): bigint {
    const value = this.value(key)
    return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
      ? BigInt(value)
      : this.fail(key, 'must be an EVM chain id, a whole number above 0')
  }

  urls(key: string): string[] {
    const value = this.value(key)
    if (!Array.isArray(value) || value.length === 0) return this.fail(key, 'must be a list of at least one URL')
    return value.map((url: unknown, i) =>
      typeof url === 'string' && /^https?:\/\//.test(url) && URL.canParse(url)
        ? url
        : this.fail(`${key}[${i}]`, 'must be an http or https URL'),
    )
  }

  optionalAddress(key: string): Address | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    return typeof value === 'string' && validate(value)
      ? checksum(value)
      : this.fail(key, 'must be an EVM address in quotes: 0x and 40 hex digits')
  }

  address(key: string): Address {
    return this.optionalAddress(key) ?? this.fail(key, 'is missing')
  }

  /** A list of text; absent: empty. */
  texts(key: string): string[] {
    const value = this.value(key) ?? []
    if (!Array.isArray(value)) return this.fail(key, 'must be a list')
    return value.map((text: unknown, i) =>
      typeof text === 'string' && text !== '' ? text : this.fail(`${key}[${i}]`, 'must be text'),
    )
  }

  /** Absent: false. */
  flag(key: string): boolean {
    const value = this.value(key) ?? false
    return typeof value === 'boolean' ? value : this.fail(key, 'must be true or false')
  }

  /** A whole number within bounds; absent: `fallback`. */
  integer(key: string, { min, max, fallback }: { min: number; max: number; fallback: number }): number {
    const value = this.value(key) ?? fallback
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
      ? value
      : this.fail(key, `must be a whole number from ${min} to ${max}`)
  }

  /** Text or a number, as text: for quantities. */
  scalar(key: string): string | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    return typeof value === 'string' || typeof value === 'number'
      ? String(value)
      : this.fail(key, 'must be text or a number')
  }

  keys(): string[] {
    return Object.keys(this.#values)
  }

  fail(key: string, message: string): never {
    throw this.#error(this.#path(key), message)
  }

  #path(key: string): string {
    return this.#at === '' ? key : `${this.#at}.${key}`
  }

  #error(at: string, message: string): TrustedPodsError {
    return new TrustedPodsError(
      'PLATFORM_CONFIG',
      at === '' ? `${this.#file} ${message}` : `${this.#file}: ${at} ${message}`,
    )
  }
}
