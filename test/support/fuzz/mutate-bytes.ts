/** Changes of bytes that know nothing of what the bytes mean. */
import type { Random } from './random.ts'

/** Makes other bytes of some; never writes into them. */
export type BytesMutation = (bytes: Uint8Array, random: Random) => Uint8Array

const INTERESTING = [0, 1, 2, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xa0, 0xfe, 0xff]
const LONGEST = 70_000

export const BYTES_MUTATIONS = {
  'flip a bit': (bytes, random) => {
    const copy = bytes.slice()
    const at = random.below(Math.max(1, copy.length))
    copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
    return copy
  },
  'flip some bits': (bytes, random) => {
    const copy = bytes.slice()
    for (let count = 2 + random.below(7); count > 0; count--) {
      const at = random.below(Math.max(1, copy.length))
      copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
    }
    return copy
  },
  'set a byte': (bytes, random) => {
    const copy = bytes.slice()
    copy[random.below(Math.max(1, copy.length))] = random.pick(INTERESTING)
    return copy
  },
  'set a length field': (bytes, random) => {
    const copy = bytes.slice()
    if (copy.length < 4) return copy
    const value = random.pick([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, copy.length, copy.length + 1])
    const view = new DataView(copy.buffer)
    if (random.below(2) === 0) view.setUint32(random.below(copy.length - 3), value, true)
    else view.setUint16(random.below(copy.length - 1), value & 0xffff, true)
    return copy
  },
  truncate: (bytes, random) => bytes.slice(0, random.below(bytes.length + 1)),
  'cut the front': (bytes, random) => bytes.slice(random.below(bytes.length + 1)),
  extend: (bytes, random) => {
    const longer = new Uint8Array(bytes.length + 1 + random.below(64))
    longer.set(bytes)
    for (let at = bytes.length; at < longer.length; at++) longer[at] = random.below(256)
    return longer
  },
  'zero a stretch': (bytes, random) => {
    const from = random.below(bytes.length + 1)
    return bytes.slice().fill(0, from, from + 1 + random.below(64))
  },
  'move a stretch': (bytes, random) => {
    const from = random.below(bytes.length + 1)
    const copy = bytes.slice()
    return copy.copyWithin(random.below(bytes.length + 1), from, from + 1 + random.below(64))
  },
  'remove a stretch': (bytes, random) => {
    const from = random.below(bytes.length + 1)
    const rest = bytes.subarray(Math.min(bytes.length, from + 1 + random.below(16)))
    return join(bytes.subarray(0, from), rest)
  },
  'double a stretch': (bytes, random) => {
    const from = random.below(bytes.length + 1)
    const stretch = bytes.subarray(from, from + 1 + random.below(64))
    return join(bytes.subarray(0, from), stretch, bytes.subarray(from))
  },
  'other bytes': (_, random) => Uint8Array.from({ length: random.below(256) }, () => random.below(256)),
  'very many bytes': (bytes, random) => {
    const many = new Uint8Array(LONGEST + random.below(3) * LONGEST * 2)
    many.set(bytes.subarray(0, many.length))
    return many
  },
} as const satisfies Record<string, BytesMutation>

export function join(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
