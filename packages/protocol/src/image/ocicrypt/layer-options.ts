/**
 * The two option records of an ocicrypt layer: the public one beside the ciphertext, the private one that is wrapped for a
 * key. Spec: spec/IMAGES.md#options; the Go code of containers/ocicrypt is the format's source. Pure.
 */
import { base64pad } from 'multiformats/bases/base64'
import { isDigestText } from '../digest.ts'
import { parseJsonObject, refuseOtherKeys } from '../json-object.ts'
import { refused } from '../refused.ts'

export const CIPHER = 'AES_256_CTR_HMAC_SHA256'
export const SYMMETRIC_KEY_BYTES = 32
export const NONCE_BYTES = 16
export const HMAC_BYTES = 32

/** Readable by all. */
export interface PublicOptions {
  /** HMAC-SHA256 of the ciphertext under the symmetric key, 32 bytes. */
  readonly hmac: Uint8Array
}

/** Secret. */
export interface PrivateOptions {
  /** Key of cipher and MAC, 32 bytes. */
  readonly symmetricKey: Uint8Array
  /** The whole initial counter block, 16 bytes. */
  readonly nonce: Uint8Array
  /** sha256:<hex> of the layer before encryption (compressed, if it was). */
  readonly digest: string
}

export function encodePublicOptions({ hmac }: PublicOptions): Uint8Array {
  return encodeJson({ cipher: CIPHER, hmac: toBase64(hmac), cipheroptions: {} })
}

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED; also for cipher options that would override the private ones. */
export function parsePublicOptions(bytes: Uint8Array): PublicOptions {
  const options = parseJsonObject(bytes, 'public layer options')
  refuseOtherKeys(options, ['cipher', 'hmac', 'cipheroptions'], 'public layer options')
  if (options.cipher !== CIPHER) throw refused(`cipher ${JSON.stringify(options.cipher)}, wanted ${CIPHER}`)
  const overrides = Object.keys(asOptionMap(options.cipheroptions, 'public cipheroptions'))
  if (overrides.length > 0) throw refused(`public cipheroptions hold ${overrides.join(', ')}, must be empty`)
  return { hmac: fixedBytes(options.hmac, HMAC_BYTES, 'hmac') }
}

export function encodePrivateOptions({ symmetricKey, nonce, digest }: PrivateOptions): Uint8Array {
  return encodeJson({ symkey: toBase64(symmetricKey), digest, cipheroptions: { nonce: toBase64(nonce) } })
}

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED; the message never quotes a value. */
export function parsePrivateOptions(bytes: Uint8Array): PrivateOptions {
  const options = parseJsonObject(bytes, 'private layer options')
  refuseOtherKeys(options, ['symkey', 'digest', 'cipheroptions'], 'private layer options')
  const cipherOptions = asOptionMap(options.cipheroptions, 'private cipheroptions')
  refuseOtherKeys(cipherOptions, ['nonce'], 'private cipheroptions')
  if (!isDigestText(options.digest)) throw refused('the private layer options have no sha256 digest of the plaintext')
  return {
    symmetricKey: fixedBytes(options.symkey, SYMMETRIC_KEY_BYTES, 'symkey'),
    nonce: fixedBytes(cipherOptions.nonce, NONCE_BYTES, 'nonce'),
    digest: options.digest,
  }
}

/** Go writes a nil map as null. */
function asOptionMap(value: unknown, name: string): Record<string, unknown> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw refused(`${name} is not an object`)
  return value as Record<string, unknown>
}

function fixedBytes(value: unknown, length: number, name: string): Uint8Array {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined
  if (!bytes) throw refused(`${name} is not base64`)
  if (bytes.length !== length) throw refused(`${name} has ${bytes.length} bytes, wanted ${length}`)
  return bytes
}

function encodeJson(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

/** Padded standard base64, as Go writes bytes into JSON. */
export function toBase64(bytes: Uint8Array): string {
  return base64pad.baseEncode(bytes)
}

/** undefined where the text is not padded standard base64 in its one canonical spelling. */
export function fromBase64(text: string): Uint8Array | undefined {
  try {
    const bytes = base64pad.baseDecode(text)
    return toBase64(bytes) === text ? bytes : undefined
  } catch {
    // Not base64: the caller says of what.
    return undefined
  }
}
