/**
 * What may be accepted of changed evidence: nothing but genuine parts, put together as they are in a sound vector.
 * Knows nothing of how the verifier works.
 */
import { createHash, verify, X509Certificate } from 'node:crypto'
import type { Evidence } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import type { Vector } from '../vectors/vector.ts'
import { isReportSigned, quoteCertificates } from './report-signature.ts'

export class Oracle {
  /** Digests of every genuine part. */
  readonly #genuine = new Set<string>()
  /** Parts that one vector has together. */
  readonly #together = new Set<string>()

  /** @param sound vectors whose parts belong together: nothing but the policy or the time may speak against them. */
  constructor(vectors: readonly Vector[], sound: readonly Vector[]) {
    for (const { evidence } of vectors) for (const digest of digests(evidence)) this.#genuine.add(digest)
    for (const { evidence } of sound) for (const pair of pairs(evidence)) this.#together.add(pair)
  }

  /** Why evidence that was accepted is a forgery; undefined: it is none. */
  forgery(evidence: Evidence): string | undefined {
    if (digests(evidence).some((digest) => !this.#genuine.has(digest))) return 'a part that nobody signed'
    if (!isReportSigned(evidence)) return 'a report or quote that nobody signed'
    if (!isIssued(chainOf(evidence))) return 'a certificate that the next did not issue'
    if (!evidence.collateral.every(isSigned)) return 'collateral with the signature of another'
    const foreign = pairs(evidence).find((pair) => !this.#together.has(pair))
    return foreign === undefined ? undefined : `parts of different vectors (${foreign.slice(0, 40)})`
  }
}

const ABOUT_PARTS = ['chain.', 'signature.', 'format.', 'collateral.', 'qe.', 'event-log.']
/** Of those, the ones that speak of the time, or of what a genuine list says. */
const ABOUT_TIME = [
  'chain.revoked',
  'chain.expired',
  'chain.not-yet-valid',
  'chain.revocation-stale',
  'collateral.expired',
  'collateral.not-yet-valid',
]

/** Whether a vector with these failed checks has parts that belong together. */
export function isSound({ evidence }: Vector, failed: readonly string[]): boolean {
  const time = evidence.crls.length === 0 ? [...ABOUT_TIME, 'chain.revocation-unknown'] : ABOUT_TIME
  return failed.every((code) => time.includes(code) || !ABOUT_PARTS.some((prefix) => code.startsWith(prefix)))
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64')
}

/** Of every certificate, list and piece of collateral. */
function digests(evidence: Evidence): string[] {
  const { certificates, crls, collateral, report } = evidence
  return [
    ...quoteCertificates(report).map(digest),
    ...certificates.map(digest),
    ...crls.map(digest),
    ...collateral.flatMap(({ body, signature, certificates: chain }) => [
      digest(body),
      digest(signature),
      ...chain.map(digest),
    ]),
  ]
}

function isSigned({ body, signature, certificates: [signer] }: Evidence['collateral'][number]): boolean {
  if (signer === undefined) return false
  const key = new X509Certificate(signer).publicKey
  return verify('sha256', body, { key, dsaEncoding: 'ieee-p1363' }, signature)
}

/** DER, leaf first. */
function chainOf({ certificates, report }: Evidence): Uint8Array[] {
  return certificates.length > 0 ? certificates : quoteCertificates(report)
}

function isIssued(chain: readonly Uint8Array[]): boolean {
  const certificates = chain.map((der) => new X509Certificate(der))
  return certificates.slice(1).every((issuer, i) => issuer.ca && certificates[i]?.verify(issuer.publicKey) === true)
}

/** The authorities with each list, each kind of collateral with its signers. */
function pairs(evidence: Evidence): string[] {
  const { certificates, crls, collateral } = evidence
  const authorities = certificates.length > 0 ? certificates.slice(-1) : chainOf(evidence).slice(1)
  const pair = (kind: string, ...parts: Uint8Array[]) => [kind, ...parts.map(digest)].join(' ')
  return [
    ...crls.map((list) => pair('revocation', list, ...authorities)),
    ...collateral.map(({ kind, certificates: signers }) => pair(kind, ...signers)),
  ]
}
