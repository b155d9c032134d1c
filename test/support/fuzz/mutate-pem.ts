/** Changes of one certificate in a PEM chain that is part of a quote, with the length before it made right again. */
import { BYTES_MUTATIONS, type BytesMutation, join } from './mutate-bytes.ts'
import { DER_MUTATIONS } from './mutate-der.ts'

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

export const MUTATE_PEM: BytesMutation = (bytes, random) => {
  // Latin-1 keeps one character per byte.
  const text = Buffer.from(bytes).toString('latin1')
  const found = [...text.matchAll(PEM)]
  if (found.length === 0) return bytes.slice()
  const { index, 0: pem } = random.pick(found)
  const der = new Uint8Array(Buffer.from(pem.split('-----')[2] ?? '', 'base64'))
  const mutate = random.pick(
    random.below(4) > 0 ? Object.values(DER_MUTATIONS) : Object.values<BytesMutation>(BYTES_MUTATIONS),
  )
  const lines =
    Buffer.from(mutate(der, random))
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  const changed = Buffer.from(['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----'].join('\n'))
  const whole = join(bytes.subarray(0, index), new Uint8Array(changed), bytes.subarray(index + pem.length))
  return fixLengths(whole, found[0]?.index ?? 0, changed.length - pem.length)
}

/** The chain's own length, and the two that hold it: type 5, type 6 and the signature data. */
function fixLengths(whole: Uint8Array, chainAt: number, grown: number): Uint8Array {
  const view = new DataView(whole.buffer, whole.byteOffset, whole.length)
  const add = (at: number) => {
    if (at >= 0 && at + 4 <= whole.length) view.setUint32(at, Math.max(0, view.getUint32(at, true) + grown), true)
  }
  // QE report 384, its signature 64, length of the authentication data 2 and the data, type 2, length 4, then the chain.
  const authBytes = 32
  const outer = chainAt - 4 - 2 - authBytes - 2 - 64 - 384 - 4
  add(chainAt - 4)
  add(outer)
  add(outer - 2 - 64 - 64 - 4)
  return whole
}
