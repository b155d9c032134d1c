/** What @phala/dcap-qvl says of a TDX vector. It is no dependency: it is read from a folder in which somebody installed it. */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { QE_IDENTITY, TCB_INFO } from '@trusted-pods/protocol/attestation/tdx/collateral.ts'
import { INTEL_ROOT } from '@trusted-pods/protocol/attestation/tdx/roots.ts'
import type { Evidence } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { toPem } from '@trusted-pods/provider/attester/pem.ts'
import { quoteCertificates } from '../../test/support/fuzz/report-signature.ts'
import type { Case } from '../../test/support/vectors/case-codec.ts'

export const ORACLE = '@phala/dcap-qvl'

/** A status by Intel's words, or why it refuses. */
export type Answer = { readonly status: string; readonly advisories: readonly string[] } | { readonly refusal: string }

export interface DcapQvl {
  readonly version: string
  ask(given: Case): Answer
}

interface Library {
  readonly QuoteVerifier: { newWithRootCa(der: Uint8Array): { verify(...given: unknown[]): Report } }
}

interface Report {
  readonly status: string
  readonly advisory_ids: readonly string[]
}

/** @param cases among whose certificates are the roots that some of them trust. @throws where it is not installed in the folder. */
export function openDcapQvl(folder: string, cases: readonly Case[]): DcapQvl {
  const require = createRequire(join(resolve(folder), 'package.json'))
  const { QuoteVerifier } = require(ORACLE) as Library
  const { version } = require(`${ORACLE}/package.json`) as { version: string }
  const roots = new Map(cases.flatMap(({ evidence }) => certificatesOf(evidence)).map((der) => [digest(der), der]))
  const ask = ({ evidence, options }: Case): Answer => {
    const fingerprint = options.anchors?.tdx[0] ?? INTEL_ROOT.fingerprint
    const root = roots.get(fingerprint)
    if (root === undefined) throw new Error(`no vector has the root ${fingerprint}`)
    try {
      const verifier = QuoteVerifier.newWithRootCa(Buffer.from(root))
      const report = verifier.verify(Buffer.from(evidence.report), toDocument(evidence), options.now.getTime() / 1000)
      return { status: report.status, advisories: report.advisory_ids }
    } catch (error) {
      return { refusal: error instanceof Error ? error.message : String(error) }
    }
  }
  return { version, ask }
}

function certificatesOf({ report, collateral }: Evidence): Uint8Array[] {
  return [...quoteCertificates(report), ...collateral.flatMap(({ certificates }) => certificates)]
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The form that quote verification libraries exchange collateral in. It keeps the lists apart, the oracle does not. */
function toDocument({ collateral, crls }: Evidence) {
  const [rootCrl, pckCrl] = crls
  const piece = (kind: string) => {
    const found = collateral.find((item) => item.kind === kind)
    if (found === undefined) throw new Error(`no ${kind}`)
    return {
      text: Buffer.from(found.body).toString(),
      signature: toHex(found.signature),
      chain: toPem(...found.certificates),
    }
  }
  const [tcbInfo, qeIdentity] = [piece(TCB_INFO), piece(QE_IDENTITY)]
  return {
    tcb_info: tcbInfo.text,
    tcb_info_signature: tcbInfo.signature,
    tcb_info_issuer_chain: tcbInfo.chain,
    qe_identity: qeIdentity.text,
    qe_identity_signature: qeIdentity.signature,
    qe_identity_issuer_chain: qeIdentity.chain,
    root_ca_crl: toHex(rootCrl ?? new Uint8Array()),
    pck_crl: toHex(pckCrl ?? new Uint8Array()),
    pck_crl_issuer_chain: '',
  }
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
