/**
 * Intel's Provisioning Certification Service, version 4: which collateral a quote needs, and reading it. The chains of the
 * signers come in headers. Source: Intel PCS API documentation, https://api.portal.trustedservices.intel.com.
 */
import { verify, X509Certificate } from 'node:crypto'
import { parseCrl } from '@trusted-pods/protocol/attestation/crl.ts'
import { QE_IDENTITY, splitCollateral, TCB_INFO } from '@trusted-pods/protocol/attestation/tdx/collateral.ts'
import { readPck } from '@trusted-pods/protocol/attestation/tdx/pck.ts'
import { readPemCertificates } from '@trusted-pods/protocol/attestation/tdx/pem.ts'
import { parseTdxQuote } from '@trusted-pods/protocol/attestation/tdx/quote.ts'
import { parseCertificate } from '@trusted-pods/protocol/attestation/x509.ts'
import { equalBytes, toHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { DocumentRequest } from './document.ts'
import type { Download } from './download.ts'

export const PCS_URL = 'https://api.trustedservices.intel.com'
export const ROOT_CRL_URL = 'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der'

/** Intel issues everything for 30 days, and lists when something is revoked. */
const REFRESH_MS = 24 * 3_600_000

/** What of a quote decides which collateral it needs. */
export interface PlatformFacts {
  /** Lower-case hex. */
  readonly fmspc: string
  readonly ca: 'platform' | 'processor'
  /** DER: PCK, its CA, the root. */
  readonly chain: readonly Uint8Array[]
}

/** @throws TrustedPodsError where the quote holds no PCK chain that can be read. */
export function readPlatformFacts(quote: Uint8Array): PlatformFacts {
  const parsed = parseTdxQuote(quote).quote
  if (parsed === undefined) throw unfit('the machine', 'a quote that cannot be read')
  const chain = readPemCertificates(parsed.pckChain)
  const [pck, issuer] = chain.map(parseCertificate)
  if (pck === undefined || issuer === undefined) throw unfit('the machine', 'a quote without a PCK chain')
  const ca = /Processor/.test(issuer.subject.commonName) ? 'processor' : 'platform'
  return { fmspc: toHex(readPck(pck).fmspc), ca, chain }
}

export function tcbInfoRequest(base: string, fmspc: string): DocumentRequest {
  return {
    name: 'TCB info',
    url: `${base}/tdx/certification/v4/tcb?fmspc=${fmspc}`,
    refreshMs: REFRESH_MS,
    read: (answer, now) => readSigned(TCB_INFO, answer, { header: 'tcb-info-issuer-chain', now }),
  }
}

export function qeIdentityRequest(base: string): DocumentRequest {
  return {
    name: 'QE identity',
    url: `${base}/tdx/certification/v4/qe/identity`,
    refreshMs: REFRESH_MS,
    read: (answer, now) => readSigned(QE_IDENTITY, answer, { header: 'sgx-enclave-identity-issuer-chain', now }),
  }
}

/** Parts: body, signature, then the signer's chain. */
function readSigned(
  kind: typeof TCB_INFO | typeof QE_IDENTITY,
  { bytes, headers }: Download,
  { header, now }: { header: string; now: Date },
) {
  const { body, signature } = splitCollateral(kind, new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  const chain = readHeaderChain(headers, header)
  const [signer] = chain
  const key = signer && new X509Certificate(signer).publicKey
  const isSigned = key && verify('sha256', body, { key, dsaEncoding: 'ieee-p1363' }, signature)
  if (!isSigned) throw unfit('the service', `${kind} that its signer did not sign`)
  const { nextUpdate } = JSON.parse(new TextDecoder().decode(body)) as { nextUpdate?: unknown }
  const goodUntil = new Date(String(nextUpdate))
  checkEnd(kind, goodUntil, now)
  return { parts: [body, signature, ...chain], goodUntil }
}

export function pckCrlRequest(base: string, { ca, chain }: PlatformFacts): DocumentRequest {
  return {
    name: 'PCK revocation list',
    url: `${base}/sgx/certification/v4/pckcrl?ca=${ca}&encoding=der`,
    refreshMs: REFRESH_MS,
    read: ({ bytes }, now) => readList(bytes, chain[1], now),
  }
}

export function rootCrlRequest(url: string, { chain }: PlatformFacts): DocumentRequest {
  return {
    name: 'root revocation list',
    url,
    refreshMs: REFRESH_MS,
    read: ({ bytes }, now) => readList(bytes, chain.at(-1), now),
  }
}

/** A list must be of the authority in the quote's own chain. */
function readList(bytes: Uint8Array, issuer: Uint8Array | undefined, now: Date) {
  const list = parseCrl(bytes)
  const authority = issuer && parseCertificate(issuer)
  if (!issuer || !authority || !equalBytes(authority.subject.raw, list.issuer.raw)) {
    throw unfit('the service', `a list of ${list.issuer.commonName}`)
  }
  if (!verify('sha256', list.tbs, new X509Certificate(issuer).publicKey, list.signature)) {
    throw unfit('the service', `a list that ${authority.subject.commonName} did not sign`)
  }
  checkEnd('a list', list.nextUpdate, now)
  return { parts: [bytes], goodUntil: list.nextUpdate }
}

/** A PEM chain in percent-encoding; Intel's older name of the first header began with SGX-. */
function readHeaderChain(headers: Headers, name: string): Uint8Array[] {
  const text = headers.get(name) ?? headers.get(`sgx-${name}`)
  if (text === null) throw unfit('the service', `no header ${name}`)
  try {
    return readPemCertificates(new TextEncoder().encode(decodeURIComponent(text)))
  } catch (cause) {
    throw unfit('the service', `a header ${name} that cannot be read`, cause)
  }
}

function checkEnd(what: string, end: Date, now: Date): void {
  if (Number.isNaN(end.getTime())) throw unfit('the service', `${what} without an end`)
  if (end.getTime() < now.getTime()) throw unfit('the service', `${what} that ended ${end.toISOString()}`)
}

function unfit(who: string, got: string, cause?: unknown): TrustedPodsError {
  return new TrustedPodsError('ATTEST_UNAVAILABLE', `${who} gives ${got}`, { cause })
}
