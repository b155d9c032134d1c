/** Judges the quoting enclave and what it signed. Spec: spec/ATTESTATION.md#tdx-key. Pure. */
import { concatBytes, equalBytes, sha256, toHex } from '../../bytes.ts'
import { type Check, judge } from '../checks.ts'
import type { PckChain } from './chains.ts'
import { importP256, verifyP256 } from './p256.ts'
import type { QeIdentity } from './qe-identity.ts'
import type { QeReport, TdxQuote } from './quote.ts'

/** Intel's quoting enclaves. */
export const INTEL_QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607'

/** What the quote says by itself: whose enclave it is, which key the enclave vouches for, what that key signed. */
export async function appraiseQuote(quote: TdxQuote): Promise<Check[]> {
  const vendor = toHex(quote.qeVendor)
  const point = concatBytes(new Uint8Array([4]), quote.attestationKey)
  const digest = sha256(concatBytes(quote.attestationKey, quote.qeAuthData))
  const isGenuine = await verifyP256(importP256(point), quote.signature, quote.signed)
  const wanted = concatBytes(await digest, new Uint8Array(32))
  const { reportData } = quote.qe
  return [
    judge('qe.vendor', vendor === INTEL_QE_VENDOR, INTEL_QE_VENDOR, vendor),
    judge('qe.report-data', equalBytes(reportData, wanted), toHex(wanted), toHex(reportData)),
    judge(
      'signature.invalid',
      isGenuine,
      'a signature by the attestation key',
      isGenuine ? 'one' : 'another',
      'quote signature data',
    ),
  ]
}

/** Whether the platform's certified key signed the report of the enclave. */
export async function appraiseQeSignature({ qe, qeSignature }: TdxQuote, { leaf }: PckChain): Promise<Check> {
  const isGenuine = await verifyP256(leaf.key, qeSignature, qe.raw)
  return judge('qe.signature', isGenuine, 'a signature by the PCK', isGenuine ? 'one' : 'another')
}

/** MISCSELECT, ATTRIBUTES (both under their mask), MRSIGNER and ISVPRODID as Intel names them. */
export function checkQeIdentity(qe: QeReport, identity: QeIdentity): Check {
  const wrong = [
    ...(isMasked(qe.miscSelect, identity.miscSelect, identity.miscSelectMask) ? [] : ['MISCSELECT']),
    ...(isMasked(qe.attributes, identity.attributes, identity.attributesMask) ? [] : ['ATTRIBUTES']),
    ...(equalBytes(qe.mrSigner, identity.mrSigner) ? [] : ['MRSIGNER']),
    ...(qe.isvProdId === identity.isvProdId ? [] : ['ISVPRODID']),
  ]
  return judge('qe.identity-mismatch', wrong.length === 0, 'the named enclave', wrong.join(', ') || 'the named enclave')
}

function isMasked(got: Uint8Array, wanted: Uint8Array, mask: Uint8Array): boolean {
  return got.every((byte, i) => (byte & (mask[i] ?? 0xff)) === wanted[i])
}
