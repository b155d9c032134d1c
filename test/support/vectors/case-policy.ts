/** The appraisal policy of a case: the vectors' default, with what the case names laid over it. */
import { type Policy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { type ProductPolicy, type SnpPolicy, STRICT_SNP_POLICY } from '@trusted-pods/protocol/attestation/snp/policy.ts'
import type { HardwareProduct, Tcb } from '@trusted-pods/protocol/attestation/snp/tcb.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'

/** Keys that a case's policy may have; another key makes the case fail, for it would go unheard. */
export interface CasePolicy {
  minTcb?: Partial<Record<HardwareProduct, Partial<Tcb>>> | null
  minLaunchTcb?: Partial<Record<HardwareProduct, Partial<Tcb>>> | null
  smt?: 'allow' | 'forbid'
  vmpl?: number
  revocation?: 'required' | 'preferred'
  /** Hex of 64 bytes. */
  reportData?: string
  measurements?: string[]
  hostData?: string[]
  idKeyDigests?: string[]
  requireAliasCheck?: boolean
  minMitigationVector?: string
}

const KEYS: readonly (keyof CasePolicy)[] = [
  'minTcb',
  'minLaunchTcb',
  'smt',
  'vmpl',
  'revocation',
  'reportData',
  'measurements',
  'hostData',
  'idKeyDigests',
  'requireAliasCheck',
  'minMitigationVector',
]

/** @throws TypeError naming a key that is not known. */
export function toCasePolicy(given: Readonly<Record<string, unknown>> = {}): CasePolicy {
  const unknown = Object.keys(given).filter((key) => !KEYS.some((known) => known === key))
  if (unknown.length > 0) throw new TypeError(`policy keys ${unknown.join(', ')} are not known`)
  return given as CasePolicy
}

/** Where an SNP case wants no particular value, what the report has is the reference value. */
export function snpCasePolicy(given: CasePolicy, report: Uint8Array): Policy {
  const launch = given.measurements ?? [toHex(report.subarray(0x90, 0xc0))]
  const hostData = given.hostData ?? [toHex(report.subarray(0xc0, 0xe0))]
  return {
    ...STRICT_POLICY,
    evidence: ['snp'],
    freshness: { ...STRICT_POLICY.freshness, revocation: given.revocation ?? 'preferred' },
    platform: { pinning: 'none' },
    measurements: [{ name: 'reference', snp: { launch, hostData } }],
    snp: toSnpPolicy(given),
  }
}

const ZERO: Tcb = { fmc: 0, bl: 0, tee: 0, snp: 0, ucode: 0 }

function toSnpPolicy(given: CasePolicy): SnpPolicy {
  const product = (line: HardwareProduct): ProductPolicy => ({
    minTcb: { ...ZERO, ...given.minTcb?.[line] },
    minLaunchTcb: { ...ZERO, ...given.minLaunchTcb?.[line] },
    minMitigation: Number(given.minMitigationVector ?? 0),
    cap: 'affirming',
  })
  return {
    products: { Milan: product('Milan'), Genoa: product('Genoa'), Turin: product('Turin') },
    endorsement: ['vcek', 'vlek'],
    policy: { ...STRICT_SNP_POLICY.policy, smt: given.smt !== 'forbid', vmpl: [given.vmpl ?? 0] },
    platformInfo: { aliasCheckComplete: given.requireAliasCheck ? true : 'any', ciphertextHidingDram: 'any' },
    idKeyDigests: given.idKeyDigests ?? 'any',
  }
}
