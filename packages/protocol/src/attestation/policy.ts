/**
 * What a publisher demands of evidence. Nothing is optional that could weaken it: a missing value refuses, an empty list
 * allows nothing. Spec: spec/ATTESTATION.md#policy. Pure.
 */
import { SIMULATED_TRUST } from '#simulated-trust'
import type { CheckCode } from './checks.ts'
import { isWarningCode } from './checks.ts'
import { readHex, readInteger, readList, readOneOf, readRecord, refuse } from './policy-reader.ts'
import { parseSnpPolicy, type SnpPolicy, STRICT_SNP_POLICY } from './snp/policy.ts'
import {
  parseTdxPolicy,
  parseTdxReference,
  STRICT_TDX_POLICY,
  type TdxPolicy,
  type TdxReference,
} from './tdx/policy.ts'

/** Kinds of evidence that the protocol names. */
export const EVIDENCE_TYPES = ['snp', 'tdx'] as const
export type EvidenceType = (typeof EVIDENCE_TYPES)[number]

/** One launched stack that the publisher knows: all values of one report must be in the same entry. */
export interface ReferenceMeasurement {
  readonly name: string
  /** Absent: the stack is not known on SNP. */
  readonly snp?: {
    /** MEASUREMENT, lower-case hex of 48 bytes. */
    readonly launch: readonly string[]
    /** HOST_DATA, lower-case hex of 32 bytes. */
    readonly hostData: readonly string[]
  }
  /** Absent: the stack is not known on TDX. */
  readonly tdx?: TdxReference
}

/** Which chips are taken: the one in the provider's registry record, those listed, or any (then only as a warning). */
export type PlatformPolicy =
  | { readonly pinning: 'registry' }
  | { readonly pinning: 'list'; readonly ids: readonly string[] }
  | { readonly pinning: 'none' }

export interface Freshness {
  /** Longest time from drawing the nonce to judging the evidence. */
  readonly nonceSeconds: number
  /** How long a verdict holds at most. */
  readonly verdictMinutes: number
  /** required: no current revocation list refuses; preferred: it warns. A forged one refuses always. */
  readonly revocation: 'required' | 'preferred'
}

export interface Policy {
  readonly version: 1
  /** warning: the codes in `allow`, and no others, are tolerated at that tier. */
  readonly require: 'affirming' | 'warning'
  readonly allow: readonly CheckCode[]
  readonly evidence: readonly EvidenceType[]
  /** SHA-256 of development roots (DER), lower-case hex. What they endorse never rates above warning. None in a production bundle. */
  readonly simulatedRoots: readonly string[]
  readonly freshness: Freshness
  readonly platform: PlatformPolicy
  readonly measurements: readonly ReferenceMeasurement[]
  readonly snp: SnpPolicy
  readonly tdx: TdxPolicy
}

/** Real, patched hardware at a registered platform. It has no reference values, so it takes nothing until some are added. */
export const STRICT_POLICY: Policy = {
  version: 1,
  require: 'affirming',
  allow: [],
  evidence: ['snp', 'tdx'],
  simulatedRoots: [],
  freshness: { nonceSeconds: 60, verdictMinutes: 60, revocation: 'required' },
  platform: { pinning: 'registry' },
  measurements: [],
  snp: STRICT_SNP_POLICY,
  tdx: STRICT_TDX_POLICY,
}

/**
 * A policy from a parsed YAML or JSON document.
 * @throws TrustedPodsError ATTEST_POLICY_INVALID with the path of the value, on any unknown, missing or wrong value.
 */
export function parsePolicy(value: unknown): Policy {
  const record = readRecord(value, 'policy', KEYS)
  const require = readOneOf(record.require, 'require', ['affirming', 'warning'])
  const allow = readList(record.allow, 'allow', readWarningCode)
  if (require === 'affirming' && allow.length > 0) throw refuse('allow', 'an empty list with require: affirming', allow)
  return {
    version: readOneOf(record.version, 'version', [1]),
    require,
    allow,
    evidence: readList(record.evidence, 'evidence', (item, path) => readOneOf(item, path, EVIDENCE_TYPES)),
    simulatedRoots: readList(record.simulatedRoots, 'simulatedRoots', readSimulatedRoot),
    freshness: parseFreshness(record.freshness),
    platform: parsePlatform(record.platform),
    measurements: readList(record.measurements, 'measurements', parseMeasurement),
    snp: parseSnpPolicy(record.snp, 'snp'),
    tdx: parseTdxPolicy(record.tdx, 'tdx'),
  }
}

const KEYS = [
  'version',
  'require',
  'allow',
  'evidence',
  'simulatedRoots',
  'freshness',
  'platform',
  'measurements',
  'snp',
  'tdx',
] as const

function readSimulatedRoot(value: unknown, path: string): string {
  if (SIMULATED_TRUST === undefined) throw refuse(path, 'none: this build takes real hardware only', value)
  return readHex(value, path, 32)
}

function readWarningCode(value: unknown, path: string): CheckCode {
  if (typeof value !== 'string' || !isWarningCode(value)) throw refuse(path, 'a code that can be a warning', value)
  return value
}

/** Ten minutes for a nonce, a day for a verdict: the bounds of what a policy may ask for. */
const MAX_NONCE_SECONDS = 600
const MAX_VERDICT_MINUTES = 24 * 60

function parseFreshness(value: unknown): Freshness {
  const record = readRecord(value, 'freshness', ['nonceSeconds', 'verdictMinutes', 'revocation'])
  return {
    nonceSeconds: readInteger(record.nonceSeconds, 'freshness.nonceSeconds', 1, MAX_NONCE_SECONDS),
    verdictMinutes: readInteger(record.verdictMinutes, 'freshness.verdictMinutes', 1, MAX_VERDICT_MINUTES),
    revocation: readOneOf(record.revocation, 'freshness.revocation', ['required', 'preferred']),
  }
}

function parsePlatform(value: unknown): PlatformPolicy {
  const { pinning, ids } = readRecord(value, 'platform', ['pinning'], ['ids'])
  const kind = readOneOf(pinning, 'platform.pinning', ['registry', 'list', 'none'])
  if (kind === 'list') return { pinning: kind, ids: readList(ids, 'platform.ids', readPlatformId) }
  if (ids !== undefined) throw refuse('platform.ids', 'no value unless pinning is list', ids)
  return { pinning: kind }
}

/** Bytes of a platform id: CHIP_ID has 64, 8 on Turin; the platform instance id of TDX has 16. */
const PLATFORM_ID_BYTES = [64, 16, 8]

function readPlatformId(value: unknown, path: string): string {
  const length = typeof value === 'string' ? value.length / 2 : 0
  return readHex(value, path, PLATFORM_ID_BYTES.find((bytes) => bytes === length) ?? 64)
}

function parseMeasurement(value: unknown, path: string): ReferenceMeasurement {
  const { name, snp, tdx } = readRecord(value, path, ['name'], ['snp', 'tdx'])
  if (typeof name !== 'string' || name === '') throw refuse(`${path}.name`, 'a name', name)
  if (snp === undefined && tdx === undefined) throw refuse(path, 'snp, tdx or both', 'neither')
  return {
    name,
    ...(snp === undefined ? {} : { snp: parseSnpReference(snp, `${path}.snp`) }),
    ...(tdx === undefined ? {} : { tdx: parseTdxReference(tdx, `${path}.tdx`) }),
  }
}

function parseSnpReference(value: unknown, path: string): NonNullable<ReferenceMeasurement['snp']> {
  const { launch, hostData } = readRecord(value, path, ['launch', 'hostData'])
  return {
    launch: readList(launch, `${path}.launch`, (item, at) => readHex(item, at, 48)),
    hostData: readList(hostData, `${path}.hostData`, (item, at) => readHex(item, at, 32)),
  }
}
