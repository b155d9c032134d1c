/**
 * X.509 version 3 certificates, as far as attestation needs them. Reads and proves nothing. Source: RFC 5280 §4.1. Pure.
 */
import { equalBytes } from '../bytes.ts'
import {
  DerCursor,
  type DerValue,
  malformed,
  readBitString,
  readDer,
  readDerBoolean,
  readOid,
  readSmallInteger,
  readText,
  readTime,
  readUnsigned,
  TAG,
} from './der.ts'
import { isEcdsaSha256, isPssSha384 } from './signature-algorithm.ts'

export interface Name {
  /** The DER of the whole name: what an issuer and a subject are compared by. */
  readonly raw: Uint8Array
  readonly commonName: string
  readonly organization: string
}

export interface Extension {
  readonly critical: boolean
  /** Content of the OCTET STRING. */
  readonly value: Uint8Array
}

export interface PublicKey {
  readonly kind: 'RSA-4096' | 'RSA-2048' | 'P-384' | 'P-256' | 'other'
  readonly spki: Uint8Array
  /** The uncompressed point of a key on a curve, or the bytes of another. */
  readonly bits: Uint8Array
}

export interface Certificate {
  /** The signed bytes. */
  readonly tbs: Uint8Array
  /** Without a sign byte. */
  readonly serial: Uint8Array
  readonly isPssSha384: boolean
  readonly isEcdsaSha256: boolean
  readonly issuer: Name
  readonly subject: Name
  readonly notBefore: Date
  readonly notAfter: Date
  readonly publicKey: PublicKey
  readonly extensions: ReadonlyMap<string, Extension>
  readonly signature: Uint8Array
}

export const BASIC_CONSTRAINTS = '2.5.29.19'
export const KEY_USAGE = '2.5.29.15'

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
export function parseCertificate(der: Uint8Array): Certificate {
  const outer = new DerCursor(readDer(der, TAG.sequence).content)
  const tbs = outer.next(TAG.sequence)
  const algorithm = outer.next(TAG.sequence)
  const signature = readBitString(outer.next(TAG.bitString))
  outer.end()
  const body = parseTbs(new DerCursor(tbs.content))
  if (!equalBytes(body.algorithm.raw, algorithm.raw)) throw malformed('one signature algorithm', 'two that differ')
  return {
    ...body.fields,
    tbs: tbs.raw,
    isPssSha384: isPssSha384(algorithm),
    isEcdsaSha256: isEcdsaSha256(algorithm),
    signature,
  }
}

function parseTbs(cursor: DerCursor) {
  const version = readDer(cursor.next(TAG.context0).content, TAG.integer)
  if (readSmallInteger(version) !== 2) throw malformed('certificate version 3', readSmallInteger(version) + 1)
  const serial = readUnsigned(cursor.next(TAG.integer))
  const algorithm = cursor.next(TAG.sequence)
  const issuer = parseName(cursor.next(TAG.sequence))
  const validity = new DerCursor(cursor.next(TAG.sequence).content)
  const notBefore = readTime(validity.any())
  const notAfter = readTime(validity.any())
  validity.end()
  const subject = parseName(cursor.next(TAG.sequence))
  const publicKey = parsePublicKey(cursor.next(TAG.sequence))
  const extensions = parseExtensions(readDer(cursor.next(TAG.context3).content, TAG.sequence))
  cursor.end()
  return { algorithm, fields: { serial, issuer, notBefore, notAfter, subject, publicKey, extensions } }
}

const COMMON_NAME = '2.5.4.3'
const ORGANIZATION = '2.5.4.10'

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED, also where an attribute comes twice. */
export function parseName(name: DerValue): Name {
  const attributes = new Map<string, string>()
  const sets = new DerCursor(name.content)
  while (!sets.isDone) {
    const pair = new DerCursor(readDer(sets.next(TAG.set).content, TAG.sequence).content)
    const oid = readOid(pair.next(TAG.oid))
    if (attributes.has(oid)) throw malformed('each name attribute once', oid)
    attributes.set(oid, readText(pair.any()))
    pair.end()
  }
  return {
    raw: name.raw,
    commonName: attributes.get(COMMON_NAME) ?? '',
    organization: attributes.get(ORGANIZATION) ?? '',
  }
}

const RSA_ENCRYPTION = '1.2.840.113549.1.1.1'
const EC_PUBLIC_KEY = '1.2.840.10045.2.1'
const SECP384R1 = '1.3.132.0.34'
const PRIME256V1 = '1.2.840.10045.3.1.7'
/** 04, x and y: of 48 bytes each on P-384, of 32 on P-256. */
const P384_POINT_BYTES = 97
const P256_POINT_BYTES = 65
/** Of the modulus. */
const RSA_BYTES = { 'RSA-4096': 512, 'RSA-2048': 256 } as const

function parsePublicKey(spki: DerValue): PublicKey {
  const cursor = new DerCursor(spki.content)
  const algorithm = new DerCursor(cursor.next(TAG.sequence).content)
  const bits = readBitString(cursor.next(TAG.bitString))
  cursor.end()
  const oid = readOid(algorithm.next(TAG.oid))
  if (oid === RSA_ENCRYPTION && hasNull(algorithm)) return { kind: rsaKind(bits), spki: spki.raw, bits }
  const curve = oid === EC_PUBLIC_KEY && bits[0] === 4 ? readOid(algorithm.next(TAG.oid)) : ''
  if (curve !== '' && !algorithm.isDone) return { kind: 'other', spki: spki.raw, bits }
  if (curve === SECP384R1 && bits.length === P384_POINT_BYTES) return { kind: 'P-384', spki: spki.raw, bits }
  if (curve === PRIME256V1 && bits.length === P256_POINT_BYTES) return { kind: 'P-256', spki: spki.raw, bits }
  return { kind: 'other', spki: spki.raw, bits }
}

/** RFC 3279 §2.3.1: the parameters of rsaEncryption are NULL. Engines differ in what else they take. */
function hasNull(algorithm: DerCursor): boolean {
  return algorithm.optional(TAG.null)?.content.length === 0 && algorithm.isDone
}

/** RSAPublicKey with a modulus of exactly so many bits and the exponent 65537. */
function rsaKind(bits: Uint8Array): 'RSA-4096' | 'RSA-2048' | 'other' {
  const cursor = new DerCursor(readDer(bits, TAG.sequence).content)
  const modulus = readUnsigned(cursor.next(TAG.integer))
  const exponent = readUnsigned(cursor.next(TAG.integer))
  cursor.end()
  if ((modulus[0] ?? 0) < 0x80 || !equalBytes(exponent, new Uint8Array([1, 0, 1]))) return 'other'
  return (['RSA-4096', 'RSA-2048'] as const).find((kind) => modulus.length === RSA_BYTES[kind]) ?? 'other'
}

/** Most extensions of one certificate: AMD's have up to 12. */
const MAX_EXTENSIONS = 32

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED, also where one comes twice. */
export function parseExtensions(list: DerValue): Map<string, Extension> {
  const extensions = new Map<string, Extension>()
  const cursor = new DerCursor(list.content)
  while (!cursor.isDone) {
    const fields = new DerCursor(cursor.next(TAG.sequence).content)
    const oid = readOid(fields.next(TAG.oid))
    const flag = fields.optional(TAG.boolean)
    const critical = flag !== undefined && readDerBoolean(flag)
    const value = fields.next(TAG.octetString).content
    fields.end()
    if (extensions.has(oid)) throw malformed('each extension once', oid)
    if (extensions.size === MAX_EXTENSIONS) throw malformed(`at most ${MAX_EXTENSIONS} extensions`, 'more')
    extensions.set(oid, { critical, value })
  }
  return extensions
}

/** basicConstraints; not a CA where it is absent. */
export function readBasicConstraints(certificate: Certificate): { isCa: boolean; pathLength?: number } {
  const extension = certificate.extensions.get(BASIC_CONSTRAINTS)
  if (extension === undefined) return { isCa: false }
  const cursor = new DerCursor(readDer(extension.value, TAG.sequence).content)
  const flag = cursor.optional(TAG.boolean)
  const length = cursor.optional(TAG.integer)
  cursor.end()
  const isCa = flag !== undefined && readDerBoolean(flag)
  return length === undefined ? { isCa } : { isCa, pathLength: readSmallInteger(length) }
}

/** Bits of the first byte of keyUsage, RFC 5280 §4.2.1.3. */
export const DIGITAL_SIGNATURE = 0x80
export const CERT_SIGN = 0x04
export const CRL_SIGN = 0x02

/** The first byte of keyUsage; undefined where it is absent. */
export function readKeyUsage(certificate: Certificate): number | undefined {
  const extension = certificate.extensions.get(KEY_USAGE)
  if (extension === undefined) return undefined
  const { content } = readDer(extension.value, TAG.bitString)
  if (content.length < 2 || (content[0] ?? 8) > 7) throw malformed('a keyUsage', `${content.length} bytes`)
  return content[1]
}
