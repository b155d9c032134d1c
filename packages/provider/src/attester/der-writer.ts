/** Writes DER: what the certificates and lists of a development root need. Pure. Source: ITU-T X.690 (2021), clause 10. */
import { concatBytes } from '@trusted-pods/protocol/bytes.ts'

/** A value: its tag, the length in its shortest form, the content. */
export function der(tag: number, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = concatBytes(...content)
  return concatBytes(new Uint8Array([tag, ...lengthBytes(body.length)]), body)
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length]
  const bytes = bigEndian(BigInt(length))
  return [0x80 | bytes.length, ...bytes]
}

function bigEndian(value: bigint): number[] {
  const bytes: number[] = []
  for (let rest = value; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn))
  return bytes
}

export function sequence(...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return der(0x30, ...content)
}

export function set(...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return der(0x31, ...content)
}

/** An explicit context tag [n]. */
export function explicit(n: number, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return der(0xa0 + n, ...content)
}

/** A non-negative INTEGER. */
export function integer(value: number | bigint): Uint8Array<ArrayBuffer> {
  const bytes = value === 0 || value === 0n ? [0] : bigEndian(BigInt(value))
  return der(0x02, new Uint8Array((bytes[0] ?? 0) >= 0x80 ? [0, ...bytes] : bytes))
}

export function boolean(value: boolean): Uint8Array<ArrayBuffer> {
  return der(0x01, new Uint8Array([value ? 0xff : 0]))
}

/** A BIT STRING whose last `unusedBits` bits do not count. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Uint8Array<ArrayBuffer> {
  return der(0x03, new Uint8Array([unusedBits]), bytes)
}

export function octetString(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return der(0x04, bytes)
}

/** An OBJECT IDENTIFIER of dotted text with at least two arcs. */
export function oid(dotted: string): Uint8Array<ArrayBuffer> {
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt)
  return der(0x06, new Uint8Array([first * 40n + second, ...rest].flatMap(base128)))
}

function base128(arc: bigint): number[] {
  const bytes = [Number(arc & 0x7fn)]
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) bytes.unshift(Number(rest & 0x7fn) | 0x80)
  return bytes
}

export function utf8String(text: string): Uint8Array<ArrayBuffer> {
  return der(0x0c, new TextEncoder().encode(text))
}

export function ia5String(text: string): Uint8Array<ArrayBuffer> {
  return der(0x16, new TextEncoder().encode(text))
}

/** UTCTime up to 2049 and GeneralizedTime from 2050, as RFC 5280 §4.1.2.5 wants; whole seconds. */
export function time(at: Date): Uint8Array<ArrayBuffer> {
  const digits = at.toISOString().replace(/[-:T]|\.\d+/g, '')
  const isUtcTime = at.getUTCFullYear() >= 1950 && at.getUTCFullYear() < 2050
  return der(isUtcTime ? 0x17 : 0x18, new TextEncoder().encode(isUtcTime ? digits.slice(2) : digits))
}
