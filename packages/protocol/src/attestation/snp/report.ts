/**
 * The SEV-SNP ATTESTATION_REPORT, versions 2 to 5. Reads fields; judging them is appraise-guest.ts.
 * Spec: spec/ATTESTATION.md#report. Source: AMD 56860, ATTESTATION_REPORT. Pure.
 */
import { TrustedPodsError } from '../../errors.ts'

/** 0x4A0: the signed bytes, R and S of 72 bytes each, and padding. */
export const REPORT_BYTES = 1184
/** What the signature covers: 0x000 to 0x29F. */
export const SIGNED_BYTES = 0x2a0

export interface SnpReport {
  readonly raw: Uint8Array
  readonly version: number // 0x000 u32
  /** POLICY, low and high word. */
  readonly policy: { readonly low: number; readonly high: number } // 0x008 u64
  readonly familyId: Uint8Array // 0x010 [16]
  readonly vmpl: number // 0x030 u32
  readonly signatureAlgorithm: number // 0x034 u32
  readonly currentTcb: Uint8Array // 0x038 [8]
  /** Low word; the high word is reserved. */
  readonly platformInfo: number // 0x040 u64
  readonly keyInfo: number // 0x048 u32
  readonly reportData: Uint8Array // 0x050 [64]
  readonly measurement: Uint8Array // 0x090 [48]
  readonly hostData: Uint8Array // 0x0C0 [32]
  readonly idKeyDigest: Uint8Array // 0x0E0 [48]
  readonly reportedTcb: Uint8Array // 0x180 [8]
  /** Family, model, stepping; zero in version 2. */
  readonly cpuid: { readonly family: number; readonly model: number; readonly stepping: number } // 0x188 [3]
  readonly chipId: Uint8Array // 0x1A0 [64]
  readonly committedTcb: Uint8Array // 0x1E0 [8]
  readonly launchTcb: Uint8Array // 0x1F0 [8]
  /** Low word of CURRENT_MIT_VECTOR; zero before version 5. */
  readonly mitigations: number // 0x200 u64
}

/** Bits of POLICY, low word. */
export const GUEST_POLICY = {
  smt: 1 << 16,
  reservedOne: 1 << 17,
  migrationAgent: 1 << 18,
  debug: 1 << 19,
  singleSocket: 1 << 20,
  cxl: 1 << 21,
  /** 31:26 must be zero, and so must the high word. */
  reserved: 0xfc000000,
} as const

/** Bits of PLATFORM_INFO. */
export const PLATFORM_INFO = { ciphertextHidingDram: 1 << 4, aliasCheckComplete: 1 << 5 } as const

/** Bits of KEY_INFO; SIGNING_KEY is bits 4:2. */
export const KEY_INFO = { maskChipKey: 1 << 1, reserved: 0xffffffe0 } as const
export const SIGNING_KEY = { vcek: 0, vlek: 1 } as const

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED unless it is 1184 bytes: every other rule is the appraisal's. */
export function parseSnpReport(raw: Uint8Array): SnpReport {
  if (raw.length !== REPORT_BYTES) {
    throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', `report: expected ${REPORT_BYTES} bytes, got ${raw.length}`)
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length)
  const word = (offset: number) => view.getUint32(offset, true)
  const bytes = (offset: number, length: number) => raw.subarray(offset, offset + length)
  return {
    raw,
    version: word(0x000),
    policy: { low: word(0x008), high: word(0x00c) },
    familyId: bytes(0x010, 16),
    vmpl: word(0x030),
    signatureAlgorithm: word(0x034),
    currentTcb: bytes(0x038, 8),
    platformInfo: word(0x040),
    keyInfo: word(0x048),
    reportData: bytes(0x050, 64),
    measurement: bytes(0x090, 48),
    hostData: bytes(0x0c0, 32),
    idKeyDigest: bytes(0x0e0, 48),
    reportedTcb: bytes(0x180, 8),
    cpuid: { family: view.getUint8(0x188), model: view.getUint8(0x189), stepping: view.getUint8(0x18a) },
    chipId: bytes(0x1a0, 64),
    committedTcb: bytes(0x1e0, 8),
    launchTcb: bytes(0x1f0, 8),
    mitigations: word(0x200),
  }
}

/** First and last byte of each part that must be zero, by report version. R and S use 48 of their 72 bytes. */
export function findReservedByte(report: SnpReport): number | undefined {
  const ranges = [
    [0x04c, 0x04f],
    [report.version >= 3 ? 0x18b : 0x188, 0x19f],
    [0x1eb, 0x1eb],
    [0x1ef, 0x1ef],
    [report.version >= 5 ? 0x208 : 0x1f8, 0x29f],
    [0x330, 0x49f],
  ] as const
  for (const [first, last] of ranges) {
    for (let at = first; at <= last; at++) if (report.raw[at] !== 0) return at
  }
  return undefined
}

const COORDINATE_BYTES = 48
const FIELD_BYTES = 72

/** R and S as WebCrypto wants them: 48 + 48 bytes, big-endian. undefined where a field is wider than P-384. */
export function readSignature(report: SnpReport): Uint8Array<ArrayBuffer> | undefined {
  const signature = new Uint8Array(2 * COORDINATE_BYTES)
  for (let i = 0; i < 2; i++) {
    const at = SIGNED_BYTES + i * FIELD_BYTES
    const field = report.raw.slice(at, at + FIELD_BYTES)
    if (field.subarray(COORDINATE_BYTES).some((byte) => byte !== 0)) return undefined
    signature.set(field.subarray(0, COORDINATE_BYTES).reverse(), i * COORDINATE_BYTES)
  }
  return signature
}
