/** Collateral of simulated hardware in Intel's form, made on demand. Layout: spec/ATTESTATION.md#collateral. */
import { createHash, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { QE_IDENTITY, TCB_INFO } from '@trusted-pods/protocol/attestation/tdx/collateral.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { type DevelopmentTdxRoot, SIMULATED_PLATFORM } from './development-tdx-root.ts'

/** What the simulated TDX module and its quoting enclave say of themselves. */
export const SIMULATED_TEE_TCB_SVN = new Uint8Array([1, 0, 1, ...Array.from({ length: 13 }, () => 0)])
export const SIMULATED_QE = {
  /** SGX ATTRIBUTES: initialised, 64 bit, provisioned. */
  attributes: new Uint8Array([0x11, ...Array.from({ length: 15 }, () => 0)]),
  mrSigner: new Uint8Array(createHash('sha256').update('Trusted Pods SIMULATION: quoting enclave').digest()),
  isvProdId: 2,
  isvSvn: 1,
}

export interface Validity {
  readonly from: Date
  readonly until: Date
}

/** TCB info and QE identity with their signatures, and the certificates of the key that signed. */
export async function makeSimulatedCollateral({ keys, certificates }: DevelopmentTdxRoot, validity: Validity) {
  const dates = { issueDate: toSeconds(validity.from), nextUpdate: toSeconds(validity.until) }
  const signed = async (kind: string, content: object) => {
    const body = new TextEncoder().encode(JSON.stringify(content))
    const signature = await signP256(body, keys.signing)
    return { kind, body, signature, certificates: [certificates.signing, certificates.root] }
  }
  return await Promise.all([signed(TCB_INFO, tcbInfo(dates)), signed(QE_IDENTITY, qeIdentity(dates))])
}

const signAsync = promisify(sign)

/** r and s, 32 bytes each, big-endian. */
export async function signP256(bytes: Uint8Array, key: KeyObject): Promise<Uint8Array> {
  return new Uint8Array(await signAsync('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }))
}

interface Dates {
  readonly issueDate: string
  readonly nextUpdate: string
}

const EVALUATION_NUMBER = 1
/** When the one level that there is came to be. */
const TCB_DATE = '2026-01-01T00:00:00Z'

function tcbInfo(dates: Dates): object {
  const components = (svns: Uint8Array) => [...svns].map((svn) => ({ svn }))
  const { svns, pceSvn, pceId, fmspc } = SIMULATED_PLATFORM
  const tcb = {
    sgxtcbcomponents: components(svns),
    pcesvn: pceSvn,
    tdxtcbcomponents: components(SIMULATED_TEE_TCB_SVN),
  }
  return {
    id: 'TDX',
    version: 3,
    ...dates,
    fmspc: toHex(fmspc).toUpperCase(),
    pceId: toHex(pceId),
    tcbType: 0,
    tcbEvaluationDataNumber: EVALUATION_NUMBER,
    tdxModule: { mrsigner: '00'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'FF'.repeat(8) },
    tcbLevels: [{ tcb, tcbDate: TCB_DATE, tcbStatus: 'UpToDate' }],
  }
}

function qeIdentity(dates: Dates): object {
  const { attributes, mrSigner, isvProdId, isvSvn } = SIMULATED_QE
  return {
    id: 'TD_QE',
    version: 2,
    ...dates,
    tcbEvaluationDataNumber: EVALUATION_NUMBER,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: toHex(attributes),
    attributesMask: 'FF'.repeat(16),
    mrsigner: toHex(mrSigner).toUpperCase(),
    isvprodid: isvProdId,
    tcbLevels: [{ tcb: { isvsvn: isvSvn }, tcbDate: TCB_DATE, tcbStatus: 'UpToDate' }],
  }
}

/** Intel writes whole seconds. */
function toSeconds(at: Date): string {
  return at.toISOString().replace(/\.\d+/, '')
}
