/** Keys in files that others make too: PEM of a recipient, PEM of a private key. Spec: spec/IMAGES.md#key-files. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { loadSecret } from '../secret-file.ts'

/** What `openssl` writes for RSA-4096 has 3.3 kB. */
const MAX_KEY_BYTES = 64 * 1024
const P256 = { name: 'ECDH', namedCurve: 'P-256' } as const
/** OpenSSL's name of P-256. */
const P256_NAME = 'prime256v1'
const MAKE_KEY = 'openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem'
const MAKE_PUBLIC = 'openssl pkey -in key.pem -pubout -out pub.pem'

/** A public key to encrypt for. @throws TrustedPodsError PLATFORM_CONFIG unless it is one of EC P-256. */
export async function loadRecipient(path: string): Promise<CryptoKey> {
  const pem = (await readKeyFile(path)).toString('latin1')
  // OpenSSL would take its public half; a key that lies around as a recipient is no longer private.
  if (pem.includes('PRIVATE KEY')) throw badKey(path, `it is a private key; its public one: ${MAKE_PUBLIC}`)
  const key = parseKey(path, () => createPublicKey(pem))
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== P256_NAME)
    throw badKey(path, `it is a key of ${kindOf(key)}, wanted EC P-256: ${MAKE_KEY} && ${MAKE_PUBLIC}`)
  const spki = Uint8Array.from(key.export({ format: 'der', type: 'spki' }))
  return crypto.subtle.importKey('spki', spki, P256, true, [])
}

/** PKCS#8 DER, whichever PEM it came in. @throws TrustedPodsError PLATFORM_STATE when others may read the file, PLATFORM_CONFIG when it is no key. */
export async function loadPrivateKey(path: string): Promise<Uint8Array> {
  const pem = await loadSecret(path)
  if (!pem || pem.length > MAX_KEY_BYTES) throw badKey(path, pem ? 'it is too long for a key' : 'there is no such file')
  const text = Buffer.from(pem).toString('latin1')
  if (text.includes('ENCRYPTED')) throw badKey(path, 'it has a passphrase: openssl pkey -in it -out one without')
  const key = parseKey(path, () => createPrivateKey(text))
  pem.fill(0)
  if (key.asymmetricKeyType !== 'rsa' && key.asymmetricKeyDetails?.namedCurve !== P256_NAME)
    throw badKey(path, `it is a key of ${kindOf(key)}, wanted EC P-256 or RSA`)
  return Uint8Array.from(key.export({ format: 'der', type: 'pkcs8' }))
}

export function toPem(privateKey: Uint8Array): string {
  const key = createPrivateKey({ key: Buffer.from(privateKey), format: 'der', type: 'pkcs8' })
  return key.export({ format: 'pem', type: 'pkcs8' }).toString()
}

async function readKeyFile(path: string): Promise<Buffer> {
  try {
    const bytes = await readFile(path)
    if (bytes.length <= MAX_KEY_BYTES) return bytes
  } catch (cause) {
    throw badKey(path, 'it cannot be read', cause)
  }
  throw badKey(path, 'it is too long for a key')
}

function parseKey(path: string, parse: () => KeyObject): KeyObject {
  try {
    return parse()
  } catch {
    // OpenSSL's words may describe the key.
    throw badKey(path, 'it holds no PEM key')
  }
}

function kindOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  return `type ${asymmetricKeyType} ${asymmetricKeyDetails?.namedCurve ?? ''}`.trim()
}

function badKey(path: string, reason: string, cause?: unknown): TrustedPodsError {
  const message = `${path} is not the key that is wanted: ${reason}`
  return new TrustedPodsError('PLATFORM_CONFIG', message, cause === undefined ? {} : { cause })
}
