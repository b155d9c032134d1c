/**
 * Whether a report or quote is signed by the key whose certificate comes with it: by node:crypto and fixed offsets, not by the
 * verifier under test. What no signature covers must be zero (padding) or is not looked at (PEM armour, line ends).
 */
import { createHash, createPublicKey, type KeyObject, verify, X509Certificate } from 'node:crypto'
import type { Evidence } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'

export function isReportSigned(evidence: Evidence): boolean {
  try {
    return evidence.statement?.evidenceType === 'tdx' ? isQuoteSigned(evidence.report) : isSnpSigned(evidence)
  } catch {
    // A key or certificate that cannot be read has signed nothing.
    return false
  }
}

/** DER of the certificates in a quote: PCK, its CA, the root. */
export function quoteCertificates(report: Uint8Array): Uint8Array[] {
  return [...latin1(report).matchAll(PEM)].map(([, base64]) => new Uint8Array(Buffer.from(base64 ?? '', 'base64')))
}

const PEM = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/g

/** One character for each byte. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

/** 0x2A0: R and S, 48 of 72 bytes each, little-endian; all behind them zero. */
function isSnpSigned({ report, certificates: [leaf] }: Evidence): boolean {
  if (leaf === undefined || report.length !== 1184 || report.subarray(0x330).some((byte) => byte !== 0)) return false
  const half = (at: number) => report.slice(at, at + 48).reverse()
  const signature = Buffer.concat([half(0x2a0), half(0x2e8)])
  return holds('sha384', report.subarray(0, 0x2a0), new X509Certificate(leaf).publicKey, signature)
}

const AUTH_BYTES = 32

/** Before the PEM chain lie, backwards: length 4, type 2, authentication data and its length 2, QE signature, QE report. */
function isQuoteSigned(report: Uint8Array): boolean {
  const chainAt = latin1(report).indexOf('-----BEGIN CERTIFICATE-----')
  const authAt = chainAt - 4 - 2 - AUTH_BYTES
  const qeSignatureAt = authAt - 2 - 64
  const qeAt = qeSignatureAt - 384
  // Length 4 and type 2, then attestation key and signature of 64 bytes, then the length of all that is signed with.
  const keyAt = qeAt - 4 - 2 - 64
  const signatureAt = keyAt - 64
  const [pck] = quoteCertificates(report)
  if (signatureAt < 4 || pck === undefined) return false
  const part = (at: number, length: number) => report.subarray(at, at + length)
  const key = part(keyAt, 64)
  const bound = createHash('sha256').update(key).update(part(authAt, AUTH_BYTES)).digest()
  return (
    holds('sha256', report.subarray(0, signatureAt - 4), p256Key(key), part(signatureAt, 64)) &&
    holds('sha256', part(qeAt, 384), new X509Certificate(pck).publicKey, part(qeSignatureAt, 64)) &&
    bound.equals(part(qeAt + 320, 32))
  )
}

function p256Key(point: Uint8Array): KeyObject {
  const text = (at: number) => Buffer.from(point.subarray(at, at + 32)).toString('base64url')
  return createPublicKey({ format: 'jwk', key: { kty: 'EC', crv: 'P-256', x: text(0), y: text(32) } })
}

function holds(hash: string, signed: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  return verify(hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
}
