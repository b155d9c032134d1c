/**
 * Collateral in the form that quote verification libraries exchange it in (sgx_ql_qve_collateral_t, version 3, as JSON):
 * exact signed texts, signatures and lists in hex, chains in PEM. Pure.
 */
import { fromHex } from '../../bytes.ts'
import { type Collateral, QE_IDENTITY, TCB_INFO } from './collateral.ts'
import { malformed, readObject, readText } from './json-reader.ts'
import { readPemCertificates } from './pem.ts'

/** The parts of evidence that such a document holds. @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED */
export function fromDcapCollateral(document: unknown): { collateral: Collateral[]; crls: Uint8Array[] } {
  const value = readObject(document, 'collateral')
  const text = (name: string) => readText(value[name], name)
  const encode = (name: string) => new TextEncoder().encode(text(name))
  const bytes = (name: string) => {
    const read = fromHex(text(name))
    if (read === undefined) throw malformed(name, 'hex')
    return read
  }
  const piece = (kind: string, name: 'tcb_info' | 'qe_identity'): Collateral => ({
    kind,
    body: encode(name),
    signature: bytes(`${name}_signature`),
    certificates: readPemCertificates(encode(`${name}_issuer_chain`)),
  })
  return {
    collateral: [piece(TCB_INFO, 'tcb_info'), piece(QE_IDENTITY, 'qe_identity')],
    crls: [bytes('root_ca_crl'), bytes('pck_crl')],
  }
}
