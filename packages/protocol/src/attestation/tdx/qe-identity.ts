/**
 * Intel's identity of the TDX quoting enclave. Reads and proves nothing. Spec: spec/ATTESTATION.md#collateral.
 * Source: Intel PCS API version 4, enclave identity V2. Pure.
 */
import { parseJson, readBytes, readNumber, readObject } from './json-reader.ts'
import { type CollateralHead, readHead, readSvnLevels, type SvnLevel } from './tcb-info.ts'

export interface QeIdentity extends CollateralHead {
  readonly miscSelect: Uint8Array
  readonly miscSelectMask: Uint8Array
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly levels: readonly SvnLevel[]
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
export function parseQeIdentity(body: Uint8Array): QeIdentity {
  const value = readObject(parseJson(body), 'body')
  return {
    ...readHead(value),
    // Written as a number, its highest byte first; the report has it in memory order.
    miscSelect: readBytes(value.miscselect, 'miscselect', 4).reverse(),
    miscSelectMask: readBytes(value.miscselectMask, 'miscselectMask', 4).reverse(),
    attributes: readBytes(value.attributes, 'attributes', 16),
    attributesMask: readBytes(value.attributesMask, 'attributesMask', 16),
    mrSigner: readBytes(value.mrsigner, 'mrsigner', 32),
    isvProdId: readNumber(value.isvprodid, 'isvprodid', 0xffff),
    levels: readSvnLevels(value.tcbLevels, 'tcbLevels'),
  }
}
