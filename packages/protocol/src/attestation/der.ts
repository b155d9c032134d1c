/**
 * A strict DER reader: definite and minimal lengths, every byte accounted for, nothing beyond the input. Pure.
 * Source: ITU-T X.690 (2021), clauses 8 and 10.
 */
import { TrustedPodsError } from '../errors.ts'

/** Universal and context tags that certificates use. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  /** Constructed context tags [0] to [3]. */
  context0: 0xa0,
  context1: 0xa1,
  context2: 0xa2,
  context3: 0xa3,
} as const

export interface DerValue {
  readonly tag: number
  readonly content: Uint8Array
  /** Header and content: what a signature covers. */
  readonly raw: Uint8Array
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED, always with what was seen and wanted. */
export function malformed(wanted: string, got: string | number): TrustedPodsError {
  return new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `DER: expected ${wanted}, got ${got}`)
}

/** Reads values one after another from the content of a constructed one. Each method throws ATTEST_EVIDENCE_MALFORMED. */
export class DerCursor {
  readonly #bytes: Uint8Array
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isDone(): boolean {
    return this.#offset === this.#bytes.length
  }

  /** The next value, which must have the tag. */
  next(tag: number): DerValue {
    const value = this.any()
    if (value.tag !== tag) throw malformed(`tag ${tag}`, value.tag)
    return value
  }

  /** The next value if it has the tag. */
  optional(tag: number): DerValue | undefined {
    return this.#bytes[this.#offset] === tag ? this.any() : undefined
  }

  any(): DerValue {
    const start = this.#offset
    const tag = this.#byte()
    if ((tag & 0x1f) === 0x1f) throw malformed('a tag below 31', tag)
    const length = this.#length()
    const contentAt = this.#offset
    if (length > this.#bytes.length - contentAt) {
      throw malformed(`${length} bytes of content`, this.#bytes.length - contentAt)
    }
    this.#offset = contentAt + length
    return {
      tag,
      content: this.#bytes.subarray(contentAt, this.#offset),
      raw: this.#bytes.subarray(start, this.#offset),
    }
  }

  end(): void {
    if (!this.isDone) throw malformed('the end', `${this.#bytes.length - this.#offset} more bytes`)
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset]
    if (byte === undefined) throw malformed('a byte', 'the end')
    this.#offset++
    return byte
  }

  /** Short form, or one to three length bytes without a leading zero: 16 MiB is beyond every limit above us. */
  #length(): number {
    const first = this.#byte()
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0 || count > 3) throw malformed('a definite length of at most 3 bytes', first)
    let length = 0
    for (let i = 0; i < count; i++) length = length * 256 + this.#byte()
    if (length < 0x80 || length < 256 ** (count - 1)) throw malformed('a minimal length', length)
    return length
  }
}

/** The one value that the bytes are, with nothing after it. */
export function readDer(bytes: Uint8Array, tag: number): DerValue {
  const cursor = new DerCursor(bytes)
  const value = cursor.next(tag)
  cursor.end()
  return value
}

/** Content of an INTEGER that is not negative, without its sign byte; at least one byte. */
export function readUnsigned(value: DerValue): Uint8Array {
  const { content } = value
  const [first, second] = content
  if (first === undefined || first >= 0x80) throw malformed('an INTEGER >= 0', first ?? 'nothing')
  if (first !== 0 || second === undefined) return content
  if (second < 0x80) throw malformed('a minimal INTEGER', 'a leading zero')
  return content.subarray(1)
}

/** A non-negative INTEGER up to 65,535. */
export function readSmallInteger(value: DerValue): number {
  const bytes = readUnsigned(value)
  if (bytes.length > 2) throw malformed('an INTEGER below 65,536', `${bytes.length} bytes`)
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0)
}

export function readDerBoolean(value: DerValue): boolean {
  const [byte] = value.content
  if (value.content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw malformed('a BOOLEAN of 00 or FF', byte ?? 0)
  return byte === 0xff
}

/** A BIT STRING of whole bytes. */
export function readBitString(value: DerValue): Uint8Array {
  if (value.content.length === 0 || value.content[0] !== 0) throw malformed('a BIT STRING of whole bytes', 'other')
  return value.content.subarray(1)
}

/** Longest OBJECT IDENTIFIER, bytes: 2.25.<UUID> and some arcs below it. */
const MAX_OID_BYTES = 32

/** Dotted text of an OBJECT IDENTIFIER; arcs may have any number of bits. */
export function readOid(value: DerValue): string {
  const { content } = value
  if (content.length === 0 || content.length > MAX_OID_BYTES) throw malformed('an OID of 1 to 32 bytes', content.length)
  const arcs: (number | bigint)[] = []
  let arc: number | bigint = 0
  let isStart = true
  for (const byte of content) {
    if (isStart && byte === 0x80) throw malformed('a minimal OID arc', 'a leading zero')
    arc = appendBits(arc, byte & 0x7f)
    isStart = byte < 0x80
    if (isStart) {
      arcs.push(arc)
      arc = 0
    }
  }
  if (!isStart) throw malformed('a whole OID arc', 'the end')
  const [head = 0, ...rest] = arcs
  const first = head < 40 ? 0 : head < 80 ? 1 : 2
  const second = typeof head === 'bigint' ? head - 80n : head - 40 * first
  return [first, second, ...rest].join('.')
}

/** Seven bits more; as a BigInt only where a number would lose some. */
function appendBits(arc: number | bigint, bits: number): number | bigint {
  if (typeof arc === 'bigint') return (arc << 7n) | BigInt(bits)
  return arc < 2 ** 46 ? arc * 128 + bits : appendBits(BigInt(arc), bits)
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Text of a UTF8String, PrintableString or IA5String. */
export function readText(value: DerValue): string {
  const { utf8String, printableString, ia5String } = TAG
  if (![utf8String, printableString, ia5String].some((tag) => tag === value.tag)) throw malformed('a string', value.tag)
  try {
    return UTF8.decode(value.content)
  } catch {
    // What the decoder says adds nothing to the refusal.
    throw malformed('UTF-8', 'other bytes')
  }
}

/** UTCTime YYMMDDHHMMSSZ (1950 to 2049) or GeneralizedTime YYYYMMDDHHMMSSZ, RFC 5280 §4.1.2.5. */
export function readTime(value: DerValue): Date {
  const { utcTime, generalizedTime } = TAG
  if (value.tag !== utcTime && value.tag !== generalizedTime) throw malformed('a time', value.tag)
  const { content } = value
  const yearDigits = value.tag === utcTime ? 2 : 4
  if (content.length !== yearDigits + 11 || content.at(-1) !== ZULU) {
    throw malformed('a time that ends in Z', 'another form')
  }
  const short = readDigits(content, 0, yearDigits)
  const year = value.tag === generalizedTime ? short : short < 50 ? 2000 + short : 1900 + short
  const field = (i: number) => readDigits(content, yearDigits + 2 * i, 2)
  const [month, day, hour, minute, second] = [field(0), field(1), field(2), field(3), field(4)]
  const time = new Date(0)
  // Not Date.UTC, which takes the years 0 to 99 for 1900 to 1999.
  time.setUTCFullYear(year, month - 1, day)
  time.setUTCHours(hour, minute, second)
  const isWhole = time.getUTCMonth() === month - 1 && time.getUTCDate() === day && time.getUTCHours() === hour
  if (!isWhole || minute > 59 || second > 59) throw malformed('a time of the calendar', 'another')
  return time
}

const ZULU = 0x5a

function readDigits(bytes: Uint8Array, at: number, count: number): number {
  let number = 0
  for (let i = at; i < at + count; i++) {
    const digit = (bytes[i] ?? 0) - 0x30
    if (digit < 0 || digit > 9) throw malformed('a time of digits', 'another form')
    number = number * 10 + digit
  }
  return number
}
