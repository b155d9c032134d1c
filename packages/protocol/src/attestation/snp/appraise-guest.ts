/** Judges what the report says of the guest and its platform. Spec: spec/ATTESTATION.md#checks. Pure. */
import { equalBytes, toHex } from '../../bytes.ts'
import { type Check, judge, rate } from '../checks.ts'
import type { SnpPolicy } from './policy.ts'
import { findReservedByte, GUEST_POLICY, KEY_INFO, PLATFORM_INFO, readSignature, type SnpReport } from './report.ts'

const FIRST_VERSION = 2
const LAST_VERSION = 5
const ECDSA_P384_SHA384 = 1

/** Whether the layout of the report's version is known. The fields of another mean nothing to us: nothing else is judged of it. */
export function appraiseVersion({ version }: SnpReport): { isKnown: boolean; checks: Check[] } {
  const isKnown = version >= FIRST_VERSION && version <= LAST_VERSION
  const wanted = `${FIRST_VERSION} to ${LAST_VERSION}`
  const known = judge('format.version', isKnown, wanted, String(version))
  if (isKnown) return { isKnown, checks: [known] }
  const got = `report version ${version}`
  return { isKnown, checks: [known, judge('format.unsupported', false, `report version ${wanted}`, got)] }
}

/** Rules that hold for every report whatever the policy. */
export function appraiseFormat(report: SnpReport): Check[] {
  const { policy, keyInfo, signatureAlgorithm } = report
  const reserved = findReservedByte(report)
  const isKeyInfoClean = (keyInfo & KEY_INFO.reserved) === 0
  const isPolicyClean = (policy.low & GUEST_POLICY.reserved) === 0 && policy.high === 0
  const hasOne = (policy.low & GUEST_POLICY.reservedOne) !== 0
  const at = reserved === undefined ? (isKeyInfoClean ? 'zero' : 'KEY_INFO bits set') : `0x${reserved.toString(16)} set`
  return [
    judge('format.reserved', reserved === undefined && isKeyInfoClean, 'zero', at),
    judge('format.policy', isPolicyClean && hasOne, 'bit 17 set, bits 63:26 zero', formatPolicy(report)),
    judge('format.algorithm', signatureAlgorithm === ECDSA_P384_SHA384, '1', String(signatureAlgorithm)),
    judge(
      'format.signature',
      readSignature(report) !== undefined,
      'R and S of 48 bytes',
      readSignature(report) === undefined ? 'a longer one' : '48 bytes',
    ),
  ]
}

/** POLICY, VMPL and PLATFORM_INFO against the policy. */
export function appraiseGuest(report: SnpReport, wanted: SnpPolicy): Check[] {
  const has = (bit: number) => (report.policy.low & bit) !== 0
  const allows = (code: 'policy.migration-agent' | 'policy.smt' | 'policy.cxl', bit: number, isAllowed: boolean) =>
    judge(code, isAllowed || !has(bit), isAllowed ? 'any' : 'off', has(bit) ? 'on' : 'off')
  const { singleSocket, vmpl } = wanted.policy
  return [
    judge('policy.debug', !has(GUEST_POLICY.debug), 'off', has(GUEST_POLICY.debug) ? 'on' : 'off'),
    allows('policy.migration-agent', GUEST_POLICY.migrationAgent, wanted.policy.migrationAgent),
    allows('policy.smt', GUEST_POLICY.smt, wanted.policy.smt),
    allows('policy.cxl', GUEST_POLICY.cxl, wanted.policy.cxl),
    demand('policy.single-socket', singleSocket, has(GUEST_POLICY.singleSocket)),
    judge('policy.vmpl', vmpl.includes(report.vmpl), vmpl.join(', ') || 'none', formatVmpl(report.vmpl)),
    ...appraisePlatformInfo(report, wanted.platformInfo),
  ]
}

function appraisePlatformInfo({ platformInfo }: SnpReport, wanted: SnpPolicy['platformInfo']): Check[] {
  const has = (bit: number) => (platformInfo & bit) !== 0
  return [
    demand('platform.alias-check', wanted.aliasCheckComplete, has(PLATFORM_INFO.aliasCheckComplete)),
    demand('platform.ciphertext-hiding', wanted.ciphertextHidingDram, has(PLATFORM_INFO.ciphertextHidingDram)),
  ]
}

type DemandedCode = 'policy.single-socket' | 'platform.alias-check' | 'platform.ciphertext-hiding'

function demand(code: DemandedCode, wanted: true | 'any', got: boolean): Check {
  return judge(code, wanted === 'any' || got, wanted === 'any' ? 'any' : 'on', got ? 'on' : 'off')
}

/** The ID block: absent, its key digest is zero. */
export function appraiseIdBlock({ idKeyDigest }: SnpReport, wanted: SnpPolicy['idKeyDigests']): Check[] {
  const digest = toHex(idKeyDigest)
  const isAbsent = idKeyDigest.every((byte) => byte === 0)
  const got = isAbsent ? 'none' : digest
  if (wanted === 'any') {
    return [judge('id-block.missing', true, 'any', got), judge('id-block.unknown', true, 'any', got)]
  }
  return [
    judge('id-block.missing', !isAbsent, 'an ID block', got),
    judge('id-block.unknown', wanted.includes(digest), `one of ${wanted.length} key digests`, got),
  ]
}

export function appraiseReportData({ reportData }: SnpReport, expected: Uint8Array): Check {
  return judge('binding.report-data', equalBytes(reportData, expected), toHex(expected), toHex(reportData))
}

interface Reference {
  readonly name: string
  readonly snp?: { readonly launch: readonly string[]; readonly hostData: readonly string[] }
}

/** MEASUREMENT and HOST_DATA must be in one entry of the reference values. */
export function appraiseMeasurement({ measurement, hostData }: SnpReport, references: readonly Reference[]): Check[] {
  const launch = toHex(measurement)
  const host = toHex(hostData)
  const launched = references.filter(({ snp }) => snp?.launch.includes(launch))
  const isKnownHost = launched.some(({ snp }) => snp?.hostData.includes(host))
  const stacks = launched.map(({ name }) => name).join(', ')
  const wantedHost = launched.length === 0 ? 'a value beside a known stack' : `one of those of ${stacks}`
  return [
    judge(
      'measurement.unknown',
      launched.length > 0,
      `one of ${references.length} stacks`,
      stacks === '' ? launch : stacks,
    ),
    rate('measurement.host-data', isKnownHost ? 'affirming' : 'contraindicated', wantedHost, host),
  ]
}

function formatPolicy({ policy }: SnpReport): string {
  return `0x${policy.high.toString(16)}${policy.low.toString(16).padStart(8, '0')}`
}

function formatVmpl(vmpl: number): string {
  return vmpl === 0xffffffff ? 'the host' : String(vmpl)
}
