/**
 * Private layer options wrapped as JWE (RFC 7516, JSON serialisations), as ocicrypt's `jwe` scheme has them: one annotation
 * value holds comma-separated base64 packets, each a flattened or general JWE. Spec: spec/IMAGES.md#keys.
 */
import {
  decodeProtectedHeader,
  FlattenedEncrypt,
  type FlattenedJWE,
  flattenedDecrypt,
  type GeneralJWE,
  generalDecrypt,
} from 'jose'
import { asJsonArray, asJsonObject, type JsonObject, parseJsonObject } from '../json-object.ts'
import { refused } from '../refused.ts'
import { type ImageKey, KEY_ALGORITHMS, type KeyAlgorithm } from './image-key.ts'
import {
  encodePrivateOptions,
  fromBase64,
  type PrivateOptions,
  parsePrivateOptions,
  toBase64,
} from './layer-options.ts'

const CONTENT_ENCRYPTION = 'A256GCM'
/** A packet of ours has 868 base64 bytes; ten recipients fit well. */
const MAX_ANNOTATION_BYTES = 64 * 1024
const MAX_PACKETS = 16
const MAX_RECIPIENTS = 32

/** The value of the annotation `org.opencontainers.image.enc.keys.jwe`. */
export async function wrapPrivateOptions(options: PrivateOptions, publicKey: CryptoKey): Promise<string> {
  const jwe = await new FlattenedEncrypt(encodePrivateOptions(options))
    .setProtectedHeader({ alg: KEY_ALGORITHMS[0], enc: CONTENT_ENCRYPTION })
    .encrypt(publicKey)
  return toBase64(new TextEncoder().encode(JSON.stringify(jwe)))
}

/** @throws TrustedPodsError PROVISION_IMAGE_REFUSED where no packet opens with this key, or what it holds is not as it must be. */
export async function unwrapPrivateOptions(annotation: string, key: ImageKey): Promise<PrivateOptions> {
  if (annotation.length > MAX_ANNOTATION_BYTES)
    throw refused(`JWE annotation of ${annotation.length} bytes, at most ${MAX_ANNOTATION_BYTES}`)
  const packets = annotation.split(',')
  if (packets.length > MAX_PACKETS) throw refused(`${packets.length} JWE packets, at most ${MAX_PACKETS}`)
  const failures: unknown[] = []
  for (const packet of packets) {
    const plaintext = await decrypt(parsePacket(packet), key).catch((error) => void failures.push(error))
    if (plaintext) return parseAndWipe(plaintext)
  }
  throw refused(`no JWE packet opens with this key: ${reasons(failures)}`)
}

function parseAndWipe(plaintext: Uint8Array): PrivateOptions {
  try {
    return parsePrivateOptions(plaintext)
  } finally {
    plaintext.fill(0)
  }
}

function parsePacket(packet: string): JsonObject {
  const json = fromBase64(packet)
  if (!json) throw refused('a JWE packet is not base64')
  return parseJsonObject(json, 'JWE packet')
}

async function decrypt(jwe: JsonObject, key: ImageKey): Promise<Uint8Array> {
  const allowed = { keyManagementAlgorithms: [...KEY_ALGORITHMS], contentEncryptionAlgorithms: [CONTENT_ENCRYPTION] }
  const find = (header: { alg?: string } | undefined, token: { header?: { alg?: string } }) =>
    key.for(keyAlgorithm(header?.alg ?? token.header?.alg))
  refuseCompression(jwe)
  if (jwe.recipients === undefined)
    return (await flattenedDecrypt(jwe as unknown as FlattenedJWE, find, allowed)).plaintext
  const recipients = asJsonArray(jwe.recipients, 'JWE recipients')
  if (recipients.length > MAX_RECIPIENTS)
    throw refused(`${recipients.length} JWE recipients, at most ${MAX_RECIPIENTS}`)
  for (const recipient of recipients) asJsonObject(recipient, 'JWE recipient')
  // go-jose 2 leaves a stray `encrypted_key` beside `recipients`; it has no meaning there.
  const { encrypted_key: _, ...general } = jwe
  return (await generalDecrypt(general as unknown as GeneralJWE, find, allowed)).plaintext
}

/** A compressed plaintext could grow without bound; ocicrypt never writes one. */
function refuseCompression(jwe: JsonObject): void {
  const header = typeof jwe.protected === 'string' ? decodeProtectedHeader({ protected: jwe.protected }) : {}
  if ('zip' in header) throw refused('a JWE packet is compressed')
}

function keyAlgorithm(algorithm: string | undefined): KeyAlgorithm {
  const known = KEY_ALGORITHMS.find((each) => each === algorithm)
  if (!known)
    throw refused(
      `JWE algorithm ${JSON.stringify(algorithm)?.slice(0, 32)}, wanted one of ${KEY_ALGORITHMS.join(', ')}`,
    )
  return known
}

/** jose's own messages say the kind of failure and hold no key. */
function reasons(failures: unknown[]): string {
  return [...new Set(failures.map((failure) => (failure instanceof Error ? failure.message : String(failure))))]
    .join('; ')
    .slice(0, 200)
}
