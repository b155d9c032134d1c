/** A version 4 TDX quote of simulated hardware. Layout: spec/ATTESTATION.md#quote. */
import { createHash, type KeyObject } from 'node:crypto'
import { SIMULATION_MEASUREMENT } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { INTEL_QE_VENDOR } from '@trusted-pods/protocol/attestation/tdx/appraise-qe.ts'
import {
  CERTIFICATION_PCK_CHAIN,
  CERTIFICATION_QE_REPORT,
  HEADER_BYTES,
  KEY_TYPE_P256,
  QE_REPORT_BYTES,
  TD_10_BYTES,
  TEE_TYPE_TDX,
} from '@trusted-pods/protocol/attestation/tdx/quote.ts'
import { concatBytes, fromHex } from '@trusted-pods/protocol/bytes.ts'
import { SIMULATED_QE, SIMULATED_TEE_TCB_SVN, signP256 } from './simulated-collateral.ts'

export interface SimulatedQuote {
  /** 64 bytes. */
  readonly reportData: Uint8Array
  /** On P-256; of this guest's quoting enclave. */
  readonly attestationKey: KeyObject
  /** On P-256; of the platform. */
  readonly pckKey: KeyObject
  /** PEM. */
  readonly pckChain: string
}

export async function makeSimulatedQuote({
  reportData,
  attestationKey,
  pckKey,
  pckChain,
}: SimulatedQuote): Promise<Uint8Array> {
  const signed = concatBytes(makeHeader(), makeBody(reportData))
  const publicKey = toPoint(attestationKey)
  const authData = new Uint8Array(32)
  const qeReport = makeQeReport(publicKey, authData)
  const certification = concatBytes(
    qeReport,
    await signP256(qeReport, pckKey),
    u16(authData.length),
    authData,
    u16(CERTIFICATION_PCK_CHAIN),
    counted(new TextEncoder().encode(pckChain)),
  )
  const signature = await signP256(signed, attestationKey)
  return concatBytes(
    signed,
    counted(concatBytes(signature, publicKey, u16(CERTIFICATION_QE_REPORT), counted(certification))),
  )
}

function makeHeader(): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint16(0, 4, true) // version
  view.setUint16(2, KEY_TYPE_P256, true)
  view.setUint32(4, TEE_TYPE_TDX, true)
  header.set(fromHex(INTEL_QE_VENDOR) ?? [], 12)
  return header
}

function makeBody(reportData: Uint8Array): Uint8Array {
  const body = new Uint8Array(TD_10_BYTES)
  const view = new DataView(body.buffer)
  body.set(SIMULATED_TEE_TCB_SVN, 0)
  view.setBigUint64(120, 1n << 28n, true) // TDATTRIBUTES: SEPT_VE_DISABLE
  view.setBigUint64(128, 3n, true) // XFAM: x87, SSE
  body.set(fromHex(SIMULATION_MEASUREMENT) ?? [], 136) // MRTD
  body.set(reportData, 520)
  return body
}

function makeQeReport(publicKey: Uint8Array, authData: Uint8Array): Uint8Array {
  const report = new Uint8Array(QE_REPORT_BYTES)
  const view = new DataView(report.buffer)
  report.set(SIMULATED_QE.attributes, 48)
  report.set(SIMULATED_QE.mrSigner, 128)
  view.setUint16(256, SIMULATED_QE.isvProdId, true)
  view.setUint16(258, SIMULATED_QE.isvSvn, true)
  report.set(createHash('sha256').update(publicKey).update(authData).digest(), 320)
  return report
}

/** x and y, 32 bytes each. */
function toPoint(key: KeyObject): Uint8Array {
  const { x, y } = key.export({ format: 'jwk' })
  return new Uint8Array(Buffer.concat([Buffer.from(x ?? '', 'base64url'), Buffer.from(y ?? '', 'base64url')]))
}

function u16(value: number): Uint8Array {
  return new Uint8Array([value & 0xff, value >>> 8])
}

function counted(bytes: Uint8Array): Uint8Array {
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, bytes.length, true)
  return concatBytes(length, bytes)
}
