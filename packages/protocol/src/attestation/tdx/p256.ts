/** ECDSA P-256 with SHA-256 on WebCrypto: keys are imported once, whatever cannot be a key or signature proves nothing. Pure. */
import { concatBytes, toBufferSource } from '../../bytes.ts'
import { TrustedPodsError } from '../../errors.ts'
import { DerCursor, readDer, readUnsigned, TAG } from '../der.ts'

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' }
const ALGORITHM = { name: 'ECDSA', hash: 'SHA-256' }
const COORDINATE_BYTES = 32

/** A public key that is being imported; undefined where it is none, such as a point off the curve. */
export type P256Key = Promise<CryptoKey | undefined>

/** SubjectPublicKeyInfo of a key on P-256, up to its point: ecPublicKey, prime256v1, BIT STRING of 66 bytes. RFC 5480 §2. */
const SPKI_HEAD = new Uint8Array([
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
  0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
])
const POINT_BYTES = 65

/** The key of an uncompressed point: 04, x, y. As SPKI, which Node 24 imports in half the time that it takes for raw. */
export async function importP256(point: Uint8Array): Promise<CryptoKey | undefined> {
  if (point.length !== POINT_BYTES || point[0] !== 4) return undefined
  try {
    return await crypto.subtle.importKey('spki', concatBytes(SPKI_HEAD, point), CURVE, false, ['verify'])
  } catch {
    // What WebCrypto says of a hostile key adds nothing to the refusal.
    return undefined
  }
}

/** Whether r and s, 32 bytes each, big-endian, are the key's signature over the bytes. */
export async function verifyP256(key: P256Key, signature: Uint8Array, signed: Uint8Array): Promise<boolean> {
  const held = await key
  if (held === undefined || signature.length !== 2 * COORDINATE_BYTES) return false
  try {
    return await crypto.subtle.verify(ALGORITHM, held, toBufferSource(signature), toBufferSource(signed))
  } catch {
    // As above.
    return false
  }
}

/** The same for a signature as X.509 has it, SEQUENCE { r, s }. */
export async function verifyDerP256(key: P256Key, signature: Uint8Array, signed: Uint8Array): Promise<boolean> {
  const raw = toRawSignature(signature)
  return raw !== undefined && (await verifyP256(key, raw, signed))
}

function toRawSignature(der: Uint8Array): Uint8Array | undefined {
  try {
    const cursor = new DerCursor(readDer(der, TAG.sequence).content)
    const numbers = [readUnsigned(cursor.next(TAG.integer)), readUnsigned(cursor.next(TAG.integer))]
    cursor.end()
    const raw = new Uint8Array(2 * COORDINATE_BYTES)
    for (const [i, number] of numbers.entries()) {
      if (number.length > COORDINATE_BYTES) return undefined
      raw.set(number, (i + 1) * COORDINATE_BYTES - number.length)
    }
    return raw
  } catch (error) {
    if (error instanceof TrustedPodsError) return undefined
    throw error
  }
}
