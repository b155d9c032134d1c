/** Certificates and revocation lists of a development root: RSASSA-PSS as AMD's, ECDSA P-256 as Intel's. Spec: spec/ATTESTATION.md#simulated. */
import { constants, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { SIMULATION_EXTENSION } from '@trusted-pods/protocol/attestation/snp/product.ts'
import {
  bitString,
  boolean,
  explicit,
  ia5String,
  integer,
  octetString,
  oid,
  sequence,
  set,
  time,
  utf8String,
} from './der-writer.ts'

/** A name of the two attributes that the verifier reads. */
export interface CertificateName {
  readonly organization: string
  readonly commonName: string
}

export interface CertificateRequest {
  readonly serial: number
  readonly subject: CertificateName
  readonly publicKey: KeyObject
  readonly issuer: CertificateName
  readonly issuerKey: KeyObject
  readonly notBefore: Date
  readonly notAfter: Date
  /** Encoded extensions. */
  readonly extensions: readonly Uint8Array[]
}

const SALT_BYTES = 48

/** AlgorithmIdentifier of RSASSA-PSS with SHA-384, MGF1 SHA-384 and salt 48. RFC 4055 §3.1. */
function pssSha384(): Uint8Array {
  const hash = sequence(oid('2.16.840.1.101.3.4.2.2'))
  const mask = sequence(oid('1.2.840.113549.1.1.8'), hash)
  const parameters = sequence(explicit(0, hash), explicit(1, mask), explicit(2, integer(SALT_BYTES)))
  return sequence(oid('1.2.840.113549.1.1.10'), parameters)
}

/** AlgorithmIdentifier of ECDSA with SHA-256. RFC 5758 §3.2. */
function ecdsaSha256(): Uint8Array {
  return sequence(oid('1.2.840.10045.4.3.2'))
}

/** RSA keys sign as AMD's, keys on P-256 as Intel's. */
function signatureAlgorithm(key: KeyObject): Uint8Array {
  return key.asymmetricKeyType === 'ec' ? ecdsaSha256() : pssSha384()
}

/** DER of a version 3 certificate. */
export async function issueCertificate(request: CertificateRequest): Promise<Uint8Array> {
  const { serial, subject, publicKey, issuer, issuerKey, notBefore, notAfter, extensions } = request
  const tbs = sequence(
    explicit(0, integer(2)),
    integer(serial),
    signatureAlgorithm(issuerKey),
    name(issuer),
    sequence(time(notBefore), time(notAfter)),
    name(subject),
    new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    explicit(3, sequence(...extensions)),
  )
  return await signed(tbs, issuerKey)
}

export interface CrlRequest {
  readonly issuer: CertificateName
  readonly issuerKey: KeyObject
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  /** Serial numbers, revoked at `thisUpdate`. */
  readonly revoked?: readonly number[]
  /** Encoded extensions. */
  readonly extensions?: readonly Uint8Array[]
}

/** DER of a version 2 list. */
export async function issueCrl(request: CrlRequest): Promise<Uint8Array> {
  const { issuer, issuerKey, thisUpdate, nextUpdate, revoked = [], extensions = [] } = request
  const entries = revoked.map((serial) => sequence(integer(serial), time(thisUpdate)))
  const tbs = sequence(
    integer(1),
    signatureAlgorithm(issuerKey),
    name(issuer),
    time(thisUpdate),
    time(nextUpdate),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    ...(extensions.length > 0 ? [explicit(0, sequence(...extensions))] : []),
  )
  return await signed(tbs, issuerKey)
}

const signAsync = promisify(sign)

async function signed(tbs: Uint8Array, key: KeyObject): Promise<Uint8Array> {
  const pss = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: SALT_BYTES }
  const signature =
    key.asymmetricKeyType === 'ec' ? await signAsync('sha256', tbs, key) : await signAsync('sha384', tbs, pss)
  return sequence(tbs, signatureAlgorithm(key), bitString(new Uint8Array(signature)))
}

function name({ organization, commonName }: CertificateName): Uint8Array {
  return sequence(
    set(sequence(oid('2.5.4.10'), utf8String(organization))),
    set(sequence(oid('2.5.4.3'), utf8String(commonName))),
  )
}

export function extension(id: string, value: Uint8Array, options: { critical: boolean }): Uint8Array {
  return sequence(oid(id), ...(options.critical ? [boolean(true)] : []), octetString(value))
}

/** Critical basicConstraints and keyUsage of a CA: it signs certificates, and lists where `signsLists`. */
export function authorityExtensions(options: { pathLength?: number; signsLists: boolean }): Uint8Array[] {
  const { pathLength, signsLists } = options
  const constraints = sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)]))
  // keyCertSign is bit 5, cRLSign bit 6, RFC 5280 §4.2.1.3.
  const usage = signsLists ? bitString(new Uint8Array([0x06]), 1) : bitString(new Uint8Array([0x04]), 2)
  return [extension('2.5.29.19', constraints, { critical: true }), extension('2.5.29.15', usage, { critical: true })]
}

/** Critical basicConstraints and keyUsage of a certificate that signs, but no certificates. */
export function signerExtensions(): Uint8Array[] {
  return [
    extension('2.5.29.19', sequence(), { critical: true }),
    extension('2.5.29.15', bitString(new Uint8Array([0x80]), 7), { critical: true }),
  ]
}

/** The mark that every simulated certificate has and that no production rule knows. */
export function simulationMark(): Uint8Array {
  return extension(SIMULATION_EXTENSION, utf8String('SIMULATED - NOT CONFIDENTIAL'), { critical: true })
}

const AMD_ARC = '1.3.6.1.4.1.3704.1'

/** What a VCEK certificate says of its chip: structVersion, productName, TCB components, HWID. AMD 57230. */
export function vcekExtensions(options: {
  productName: string
  tcb: { bl: number; tee: number; snp: number; ucode: number }
  hwid: Uint8Array
}): Uint8Array[] {
  const { productName, tcb, hwid } = options
  const component = (arc: number, value: number) =>
    extension(`${AMD_ARC}.3.${arc}`, integer(value), { critical: false })
  return [
    extension(`${AMD_ARC}.1`, integer(0), { critical: false }),
    extension(`${AMD_ARC}.2`, ia5String(productName), { critical: false }),
    component(1, tcb.bl),
    component(2, tcb.tee),
    component(3, tcb.snp),
    ...[4, 5, 6, 7].map((arc) => component(arc, 0)),
    component(8, tcb.ucode),
    extension(`${AMD_ARC}.4`, hwid, { critical: false }),
  ]
}
