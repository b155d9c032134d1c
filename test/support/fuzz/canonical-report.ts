/**
 * A report or quote with what may differ without a change of meaning taken out: zero padding after a quote, and the line
 * ends and the armour of the PEM certificates in it, which no signature covers (each certificate's own covers its DER).
 */
import type { Evidence } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { join } from './mutate-bytes.ts'

const HEADER = '-----BEGIN CERTIFICATE-----'
const PEM = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/g

export function canonicalReport({ statement, report }: Evidence): Uint8Array {
  if (statement?.evidenceType !== 'tdx') return report
  const body = signedParts(report, latin1(report).indexOf(HEADER))
  return body === undefined ? report : join(body, ...quoteCertificates(report))
}

/** DER of the certificates in a quote: PCK, its CA, the root. */
export function quoteCertificates(report: Uint8Array): Uint8Array[] {
  return [...latin1(report).matchAll(PEM)].map(([, base64]) => new Uint8Array(Buffer.from(base64 ?? '', 'base64')))
}

/** One character for each byte. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

/** Everything before the chain but the lengths of what holds it. */
function signedParts(report: Uint8Array, chainAt: number): Uint8Array | undefined {
  const authBytes = 32
  const outer = chainAt - 4 - 2 - authBytes - 2 - 64 - 384 - 4
  const whole = outer - 2 - 64 - 64 - 4
  // No chain: chainAt is -1.
  if (whole < 0) return undefined
  return join(report.subarray(0, whole), report.subarray(whole + 4, outer), report.subarray(outer + 4, chainAt - 4))
}
