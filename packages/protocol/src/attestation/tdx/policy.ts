/** The TDX part of a policy. Spec: spec/ATTESTATION.md#policy. Pure. */
import { readHex, readInteger, readList, readOneOf, readRecord, refuse } from '../policy-reader.ts'

/** The tier of something that is not as good as it could be. */
export type Rating = 'affirming' | 'warning' | 'contraindicated'

export interface TdxPolicy {
  /** What Intel's statuses short of UpToDate and OutOfDate are worth. */
  readonly tcb: {
    readonly swHardeningNeeded: Rating
    readonly configurationNeeded: Rating
    readonly relaunchAdvised: Rating
    /** OutOfDate is a warning for so long after the date of the level; 0: never. */
    readonly outOfDateGraceDays: number
  }
  /** Advisories by Intel's ids: what is denied refuses, what is allowed is fine, every other one warns. */
  readonly advisories: { readonly allow: readonly string[]; readonly deny: readonly string[] }
  readonly minTcbEvaluationDataNumber: number
  /** Collateral past its nextUpdate is a warning for so long; 0: never. */
  readonly collateralGraceHours: number
  readonly attributes: {
    /** A guest that can be debugged keeps no secret: no policy can allow it. */
    readonly debug: false
    /** true: must be set; any: may be clear. */
    readonly septVeDisable: true | 'any'
    /** true: may be set. */
    readonly migratable: boolean
    readonly perfmon: Rating
  }
  /** XFAM must have `value` in the bits of `mask`. */
  readonly xfam: { readonly mask: bigint; readonly value: bigint }
  /** MRSERVICETD, lower-case hex of 48 bytes, besides zero; forbid: only zero. */
  readonly serviceTd: 'forbid' | readonly string[]
}

/** How one RTMR is known: by its value; by the digests of its events; or by what its dstack events say. */
export type RtmrReference =
  | { readonly kind: 'values'; readonly values: readonly string[] }
  | { readonly kind: 'digests'; readonly digests: readonly string[] }
  | { readonly kind: 'events'; readonly events: ReadonlyMap<string, 'any' | readonly string[]> }

export interface TdxReference {
  /** Lower-case hex of 48 bytes, here and below. */
  readonly mrtd: readonly string[]
  /** RTMR0 to RTMR3. */
  readonly rtmr: readonly [RtmrReference, RtmrReference, RtmrReference, RtmrReference]
  readonly mrConfigId: readonly string[]
  /** MROWNER and MROWNERCONFIG; zero unless named. */
  readonly mrOwner: readonly string[]
  readonly mrOwnerConfig: readonly string[]
}

/** x87 and SSE are always on; bits that no TDX module of 2025 lets a guest have must be off (go-tdx-guest names the same). */
const XFAM_FIXED_0 = 0x0006dbe7n
const XFAM_FIXED_1 = 0x3n
const ALL_64 = 0xffffffffffffffffn

/** Up to date, sealed from debuggers and migration. 18: Intel's evaluation of mid 2025. */
export const STRICT_TDX_POLICY: TdxPolicy = {
  tcb: {
    swHardeningNeeded: 'warning',
    configurationNeeded: 'warning',
    relaunchAdvised: 'warning',
    outOfDateGraceDays: 0,
  },
  advisories: { allow: [], deny: [] },
  minTcbEvaluationDataNumber: 18,
  collateralGraceHours: 0,
  attributes: { debug: false, septVeDisable: true, migratable: false, perfmon: 'warning' },
  xfam: { mask: (ALL_64 ^ XFAM_FIXED_0) | XFAM_FIXED_1, value: XFAM_FIXED_1 },
  serviceTd: 'forbid',
}

const RATINGS = ['affirming', 'warning', 'contraindicated'] as const
/** A year: what is older is no grace. */
const MAX_GRACE_DAYS = 365
/** A week. */
const MAX_GRACE_HOURS = 168
const MEASUREMENT_BYTES = 48

/** @throws TrustedPodsError ATTEST_POLICY_INVALID */
export function parseTdxPolicy(value: unknown, path: string): TdxPolicy {
  const keys = [
    'tcb',
    'advisories',
    'minTcbEvaluationDataNumber',
    'collateralGraceHours',
    'attributes',
    'xfam',
    'serviceTd',
  ] as const
  const record = readRecord(value, path, keys)
  const number = (name: (typeof keys)[number], max: number) => readInteger(record[name], `${path}.${name}`, 0, max)
  return {
    tcb: parseTcbPolicy(record.tcb, `${path}.tcb`),
    advisories: parseAdvisories(record.advisories, `${path}.advisories`),
    minTcbEvaluationDataNumber: number('minTcbEvaluationDataNumber', 0xffff),
    collateralGraceHours: number('collateralGraceHours', MAX_GRACE_HOURS),
    attributes: parseAttributes(record.attributes, `${path}.attributes`),
    xfam: parseXfam(record.xfam, `${path}.xfam`),
    serviceTd: record.serviceTd === 'forbid' ? 'forbid' : readHexList(record.serviceTd, `${path}.serviceTd`),
  }
}

function parseTcbPolicy(value: unknown, path: string): TdxPolicy['tcb'] {
  const keys = ['swHardeningNeeded', 'configurationNeeded', 'relaunchAdvised', 'outOfDateGraceDays'] as const
  const record = readRecord(value, path, keys)
  const rating = (name: (typeof keys)[number]) => readOneOf(record[name], `${path}.${name}`, RATINGS)
  return {
    swHardeningNeeded: rating('swHardeningNeeded'),
    configurationNeeded: rating('configurationNeeded'),
    relaunchAdvised: rating('relaunchAdvised'),
    outOfDateGraceDays: readInteger(record.outOfDateGraceDays, `${path}.outOfDateGraceDays`, 0, MAX_GRACE_DAYS),
  }
}

function parseAdvisories(value: unknown, path: string): TdxPolicy['advisories'] {
  const { allow, deny } = readRecord(value, path, ['allow', 'deny'])
  return {
    allow: readList(allow, `${path}.allow`, readAdvisory),
    deny: readList(deny, `${path}.deny`, readAdvisory),
  }
}

function readAdvisory(value: unknown, path: string): string {
  if (typeof value === 'string' && /^INTEL-SA-\d{5}$/.test(value)) return value
  throw refuse(path, 'an id such as INTEL-SA-00615', value)
}

function parseAttributes(value: unknown, path: string): TdxPolicy['attributes'] {
  const { debug, septVeDisable, migratable, perfmon } = readRecord(value, path, [
    'debug',
    'septVeDisable',
    'migratable',
    'perfmon',
  ])
  return {
    debug: readOneOf(debug, `${path}.debug`, [false]),
    septVeDisable: readOneOf(septVeDisable, `${path}.septVeDisable`, [true, 'any']),
    migratable: readOneOf(migratable, `${path}.migratable`, [true, false]),
    perfmon: readOneOf(perfmon, `${path}.perfmon`, RATINGS),
  }
}

/** Both as the number is written: 16 hex digits, the highest bits first. */
function parseXfam(value: unknown, path: string): TdxPolicy['xfam'] {
  const record = readRecord(value, path, ['mask', 'value'])
  const mask = BigInt(`0x${readHex(record.mask, `${path}.mask`, 8)}`)
  const wanted = BigInt(`0x${readHex(record.value, `${path}.value`, 8)}`)
  if ((wanted & ~mask) !== 0n) throw refuse(`${path}.value`, 'no bit outside of the mask', record.value)
  return { mask, value: wanted }
}

function readHexList(value: unknown, path: string): string[] {
  return readList(value, path, (item, at) => readHex(item, at, MEASUREMENT_BYTES))
}

const NONE = ['00'.repeat(MEASUREMENT_BYTES)]

/** Reference values of one stack. @throws TrustedPodsError ATTEST_POLICY_INVALID */
export function parseTdxReference(value: unknown, path: string): TdxReference {
  const record = readRecord(value, path, ['mrtd', 'rtmr', 'mrConfigId'], ['mrOwner', 'mrOwnerConfig'])
  const rtmr = readRecord(record.rtmr, `${path}.rtmr`, ['0', '1', '2', '3'])
  const register = (n: '0' | '1' | '2' | '3') => parseRtmr(rtmr[n], `${path}.rtmr.${n}`)
  const owner = (name: 'mrOwner' | 'mrOwnerConfig') =>
    record[name] === undefined ? NONE : readHexList(record[name], `${path}.${name}`)
  return {
    mrtd: readHexList(record.mrtd, `${path}.mrtd`),
    rtmr: [register('0'), register('1'), register('2'), register('3')],
    mrConfigId: readHexList(record.mrConfigId, `${path}.mrConfigId`),
    mrOwner: owner('mrOwner'),
    mrOwnerConfig: owner('mrOwnerConfig'),
  }
}

/** A list of values, or a mapping with either `digests` or `events`. */
function parseRtmr(value: unknown, path: string): RtmrReference {
  if (Array.isArray(value)) return { kind: 'values', values: readHexList(value, path) }
  const { digests, events } = readRecord(value, path, [], ['digests', 'events'])
  if ((digests === undefined) === (events === undefined)) throw refuse(path, 'a list, digests or events', value)
  if (events === undefined) return { kind: 'digests', digests: readHexList(digests, `${path}.digests`) }
  return { kind: 'events', events: parseEvents(events, `${path}.events`) }
}

/** Longest payload of an event that a policy names, bytes. */
const MAX_PAYLOAD_BYTES = 1024

function parseEvents(value: unknown, path: string): Map<string, 'any' | string[]> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse(path, 'a mapping', value)
  const entries = Object.entries(value)
  for (const [name] of entries) if (name.includes(':')) throw refuse(`${path}.${name}`, 'a name without a colon', name)
  return new Map(
    entries.map(([name, payloads]) => [
      name,
      payloads === 'any' ? 'any' : readList(payloads, `${path}.${name}`, readPayload),
    ]),
  )
}

function readPayload(value: unknown, path: string): string {
  if (typeof value !== 'string' || value.length > 2 * MAX_PAYLOAD_BYTES) throw refuse(path, 'hex (quoted)', value)
  return readHex(value, path, Math.ceil(value.length / 2))
}
