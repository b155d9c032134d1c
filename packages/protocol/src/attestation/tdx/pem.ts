/** Certificates in the PEM text that a quote or Intel's service carries. Pure. Source: RFC 7468 §3. */
import { TrustedPodsError } from '../../errors.ts'

/** Most certificates of one text: a PCK chain has three. */
const MAX_CERTIFICATES = 8
const BLOCK = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----/y

/**
 * DER of each certificate, in their order; white space between them and zero bytes behind the last are passed over.
 * @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED where there is anything else, none, or more than 8.
 */
export function readPemCertificates(bytes: Uint8Array): Uint8Array[] {
  const text = new TextDecoder('latin1').decode(bytes).replace(/\0+$/, '')
  const certificates: Uint8Array[] = []
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, BLOCK.lastIndex)) {
    BLOCK.lastIndex = at
    const base64 = BLOCK.exec(text)?.[1]
    if (base64 === undefined) throw malformed(`something else at ${at}`)
    if (certificates.length === MAX_CERTIFICATES) throw malformed(`more than ${MAX_CERTIFICATES}`)
    certificates.push(decodeBase64(base64))
  }
  if (certificates.length === 0) throw malformed('none')
  return certificates
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (text[at] === '\n' || text[at] === '\r' || text[at] === ' ') at++
  return at
}

function decodeBase64(base64: string): Uint8Array {
  try {
    const binary = atob(base64)
    const bytes = new Uint8Array(binary.length)
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i)
    return bytes
  } catch {
    // What atob says adds nothing to the refusal.
    throw malformed('no base64')
  }
}

function malformed(got: string): TrustedPodsError {
  return new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `PEM: expected certificates, got ${got}`)
}
