/** Judges whether the key that signed is the reported chip's key for the reported firmware. Spec: spec/ATTESTATION.md#key. Pure. */
import { SIMULATED_TRUST } from '#simulated-trust'
import { toBufferSource, toHex } from '../../bytes.ts'
import { type Check, judge } from '../checks.ts'
import type { Certificate } from '../x509.ts'
import type { Chain } from './appraise-chain.ts'
import type { EndorsementKind } from './policy.ts'
import { productByCpuid, productByName, SIMULATION_FAMILY } from './product.ts'
import { KEY_INFO, readSignature, SIGNED_BYTES, SIGNING_KEY, type SnpReport } from './report.ts'
import { formatTcb, isSameTcb, type SnpProduct, toTcb } from './tcb.ts'

/** The checks between report and endorsement certificate. */
export function appraiseEndorsement(
  report: SnpReport,
  chain: Chain,
  { allowed, isGenuine }: { allowed: readonly EndorsementKind[]; isGenuine: boolean },
): Check[] {
  const kind = signingKind(report)
  return [
    judge(
      'policy.endorsement',
      kind !== undefined && allowed.includes(kind),
      allowed.join(', ') || 'none',
      kind ?? 'none',
    ),
    checkKeyKind(report, kind, chain.kind),
    checkProduct(report, chain),
    checkTcb(report, chain),
    checkChip(report, chain),
    judge('signature.invalid', isGenuine, 'a signature by the endorsed key', isGenuine ? 'one' : 'another'),
  ]
}

/**
 * Under MASK_CHIP_KEY the firmware signs nothing with the chip's key: a report that says so and has a VCEK is none of its making.
 * A VLEK is not masked by it. AMD 56860, KEY_INFO.
 */
function checkKeyKind(
  { keyInfo }: SnpReport,
  named: EndorsementKind | undefined,
  got: EndorsementKind | undefined,
): Check {
  const isMasked = named === 'vcek' && (keyInfo & KEY_INFO.maskChipKey) !== 0
  const wanted = named ?? 'vcek or vlek'
  return judge(
    'chain.key-kind',
    named !== undefined && named === got && !isMasked,
    wanted,
    isMasked ? 'a masked key' : (got ?? 'neither'),
  )
}

function signingKind({ keyInfo }: SnpReport): EndorsementKind | undefined {
  const key = (keyInfo >>> 2) & 7
  if (key === SIGNING_KEY.vcek) return 'vcek'
  return key === SIGNING_KEY.vlek ? 'vlek' : undefined
}

/** The anchor's line, the certificate's productName and the report's CPUID must be one; version 2 has no CPUID. */
function checkProduct(report: SnpReport, { product, endorsement }: Chain): Check {
  const named = productByName(endorsement.productName)
  const measured = report.version < 3 ? product : productByCpuid(report)
  const isMarked = product !== 'Simulated' || hasMark(report)
  const isSame = product !== undefined && named === product && measured === product && isMarked
  const got = `certificate ${endorsement.productName}, report ${measured ?? formatCpuid(report)}`
  return judge(
    'chain.product-mismatch',
    isSame,
    product ?? 'a known line',
    isMarked ? got : 'no simulation mark in FAMILY_ID',
  )
}

function hasMark({ familyId }: SnpReport): boolean {
  return SIMULATED_TRUST !== undefined && SIMULATION_FAMILY.every((byte, i) => familyId[i] === byte)
}

function checkTcb(report: SnpReport, { product, endorsement }: Chain): Check {
  if (product === undefined) return judge('chain.tcb-mismatch', false, 'a known line', 'an unknown one')
  const reported = toTcb(report.reportedTcb, product)
  const got = formatTcb(endorsement.tcb)
  return judge('chain.tcb-mismatch', isSameTcb(reported, endorsement.tcb), formatTcb(reported), got)
}

/**
 * HWID is the whole CHIP_ID, on Turin its first 8 bytes with zeros behind. A VLEK names no chip. A host that hides its chip
 * (MASK_CHIP_ID: CHIP_ID is zero; MASK_CHIP_KEY) is refused although AMD's signature would hold: what hides cannot be pinned.
 */
function checkChip({ chipId, keyInfo }: SnpReport, { kind, product, endorsement: { hwid } }: Chain): Check {
  const wantedBytes = product === 'Turin' ? 8 : 64
  if (kind === 'vlek') return judge('chain.chip-id-mismatch', hwid === undefined, 'no chip in a VLEK', hexOrNone(hwid))
  const isHidden = chipId.every((byte) => byte === 0) || (keyInfo & KEY_INFO.maskChipKey) !== 0
  const isSame =
    hwid !== undefined && hwid.length === wantedBytes && !isHidden && chipId.every((byte, i) => byte === (hwid[i] ?? 0))
  return judge('chain.chip-id-mismatch', isSame, hexOrNone(hwid), isHidden ? 'a hidden chip' : toHex(chipId))
}

/** The id of the chip as policies and records write it: undefined where no key of a chip signed. */
export function platformId({ chipId }: SnpReport, kind: EndorsementKind | undefined, product?: SnpProduct) {
  if (kind !== 'vcek' || chipId.every((byte) => byte === 0)) return undefined
  return toHex(product === 'Turin' ? chipId.subarray(0, 8) : chipId)
}

/** Whether the leaf's key signed the report. Never rejects. */
export async function isSignedBy(report: SnpReport, leaf: Certificate): Promise<boolean> {
  const signature = readSignature(report)
  if (signature === undefined || leaf.publicKey.kind !== 'P-384') return false
  const signed = toBufferSource(report.raw.subarray(0, SIGNED_BYTES))
  const curve = { name: 'ECDSA', namedCurve: 'P-384' }
  try {
    const point = toBufferSource(leaf.publicKey.bits)
    const key = await crypto.subtle.importKey('raw', point, curve, false, ['verify'])
    return await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-384' }, key, signature, signed)
  } catch {
    // A point off the curve makes WebCrypto throw: it proves nothing, as a wrong signature does.
    return false
  }
}

function formatCpuid({ cpuid: { family, model, stepping } }: SnpReport): string {
  return `CPUID ${family.toString(16)}/${model.toString(16)}/${stepping.toString(16)}`
}

function hexOrNone(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'none' : toHex(bytes)
}
