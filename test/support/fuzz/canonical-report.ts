/**
 * A report or quote with what may differ without a change of meaning taken out: zero padding after a quote, and the line
 * ends and the armour of the PEM certificates in it, which no signature covers (each certificate's own covers its DER).
 */
import type { Evidence } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { join } from './mutate-bytes.ts'

const HEADER = '-----BEGIN CERTIFICATE-----'

export function canonicalReport({ statement, report }: Evidence): Uint8Array {
  if (statement?.evidenceType !== 'tdx') return report
  const text = Buffer.from(report).toString('latin1')
  const at = text.indexOf(HEADER)
  if (at < 0) return report
  // Three lengths and the type before the chain follow from it.
  const ders = [...text.slice(at).matchAll(/-----BEGIN CERTIFICATE-----([\s\S]*?)-----END CERTIFICATE-----/g)].map(
    ([, base64]) => new Uint8Array(Buffer.from(base64 ?? '', 'base64')),
  )
  const body = signedParts(report, at)
  return body === undefined ? report : join(body, ...ders)
}

/** Everything before the chain but the lengths of what holds it. */
function signedParts(report: Uint8Array, chainAt: number): Uint8Array | undefined {
  const authBytes = 32
  const outer = chainAt - 4 - 2 - authBytes - 2 - 64 - 384 - 4
  const whole = outer - 2 - 64 - 64 - 4
  if (whole < 0) return undefined
  return join(report.subarray(0, whole), report.subarray(whole + 4, outer), report.subarray(outer + 4, chainAt - 4))
}
