/** A version 5 SNP report of simulated hardware. Layout: spec/ATTESTATION.md#report (AMD 56860). */
import { type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { SIMULATION_FAMILY, SIMULATION_MEASUREMENT } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { REPORT_BYTES, SIGNED_BYTES } from '@trusted-pods/protocol/attestation/snp/report.ts'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { SIMULATED_TCB } from './development-root.ts'

export interface SimulatedReport {
  /** 64 bytes. */
  readonly reportData: Uint8Array
  readonly chipId: Uint8Array
  /** 32 random bytes of this guest. */
  readonly reportId: Uint8Array
  readonly reportKey: KeyObject
}

const signAsync = promisify(sign)

export async function makeSimulatedReport({
  reportData,
  chipId,
  reportId,
  reportKey,
}: SimulatedReport): Promise<Uint8Array> {
  const report = new Uint8Array(REPORT_BYTES)
  const view = new DataView(report.buffer)
  view.setUint32(0x000, 5, true) // VERSION
  view.setUint32(0x008, 0x30000, true) // POLICY: SMT allowed, bit 17
  report.set(SIMULATION_FAMILY, 0x010) // FAMILY_ID
  view.setUint32(0x034, 1, true) // SIGNATURE_ALGO: ECDSA P-384 with SHA-384
  view.setUint32(0x040, 0x25, true) // PLATFORM_INFO: SMT, ECC, alias check complete
  report.set(reportData, 0x050)
  report.set(fromHex(SIMULATION_MEASUREMENT) ?? [], 0x090)
  report.set(reportId, 0x140)
  report.fill(0xff, 0x160, 0x180) // REPORT_ID_MA: no migration agent
  report.set(chipId, 0x1a0)
  // CURRENT, REPORTED, COMMITTED and LAUNCH TCB: one and the same.
  for (const at of [0x038, 0x180, 0x1e0, 0x1f0]) writeTcb(report.subarray(at, at + 8))
  const signature = await signAsync('sha384', report.subarray(0, SIGNED_BYTES), {
    key: reportKey,
    dsaEncoding: 'ieee-p1363',
  })
  // R and S, 48 bytes big-endian each, become little-endian in fields of 72.
  report.set(new Uint8Array(signature.subarray(0, 48)).reverse(), SIGNED_BYTES)
  report.set(new Uint8Array(signature.subarray(48)).reverse(), SIGNED_BYTES + 72)
  return report
}

function writeTcb(bytes: Uint8Array): void {
  bytes[0] = SIMULATED_TCB.bl
  bytes[1] = SIMULATED_TCB.tee
  bytes[6] = SIMULATED_TCB.snp
  bytes[7] = SIMULATED_TCB.ucode
}
