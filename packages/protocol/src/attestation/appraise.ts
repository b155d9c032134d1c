/**
 * The verifier: evidence and policy in, verdict out. No network, no clock of its own, never throws on evidence.
 * Spec: spec/ATTESTATION.md#appraisal. Pure.
 */
import { toHex } from '../bytes.ts'
import type { Evidence } from '../gen/trustedpods/v0/attest_pb.ts'
import { appraiseBinding, type ExpectedStatement, NO_STATEMENT } from './appraise-binding.ts'
import { type Check, judge, rate, worstTier } from './checks.ts'
import { checkSize } from './evidence-limits.ts'
import { EVIDENCE_TYPES, type Policy } from './policy.ts'
import { appraiseSnp, type SnpAppraisal } from './snp/appraise-snp.ts'
import { type TrustedRoot, trustedRoots } from './snp/roots.ts'
import { reportData } from './statement.ts'
import { appraiseTdx, type TdxAppraisal } from './tdx/appraise-tdx.ts'
import { tdxRoots } from './tdx/roots.ts'
import type { Verdict } from './verdict.ts'

export type { ExpectedStatement } from './appraise-binding.ts'

/** What stands at the top of the chains. */
export interface TrustAnchors {
  readonly snp: readonly TrustedRoot[]
  /** SHA-256 of each root's DER, lower-case hex. */
  readonly tdx: readonly string[]
}

export interface AppraiseOptions {
  readonly policy: Policy
  readonly now: Date
  readonly expected: ExpectedStatement
  /** Time since the nonce was drawn; left out, the caller keeps that limit itself. */
  readonly elapsedMs?: number
  /** In place of the pinned roots and the policy's: for test vectors, by value only, never from a peer. */
  readonly anchors?: TrustAnchors
  /** In place of the statement's hash: for evidence that is no answer of this protocol's. 64 bytes. */
  readonly reportData?: Uint8Array
}

/** Judges evidence. All checks are made; what could not be examined has the tier none. Accept by `isAccepted` only. */
export async function appraise(evidence: Evidence, options: AppraiseOptions): Promise<Verdict> {
  const size = checkSize(evidence)
  if (size.tier !== 'affirming') return toVerdict([size], evidence, options, NOTHING)
  const [hardware, binding] = await Promise.all([
    appraiseHardware(evidence, options),
    appraiseBinding(evidence, options),
  ])
  const pinning = checkPlatform(hardware, options)
  return toVerdict([size, ...binding, ...hardware.checks, ...pinning], evidence, options, hardware)
}

const NOTHING: HardwareAppraisal = { checks: [], simulated: false }

/** What the verifiers of all hardware tell. */
type HardwareAppraisal = SnpAppraisal & Pick<TdxAppraisal, 'tcb'>

/** The statement says which verifier judges; what none judges is refused. */
async function appraiseHardware(evidence: Evidence, options: AppraiseOptions): Promise<HardwareAppraisal> {
  const statement = evidence.statement ?? NO_STATEMENT
  const type = EVIDENCE_TYPES.find((known) => known === statement.evidenceType)
  const wanted = EVIDENCE_TYPES.join(' or ')
  const supported = judge('format.unsupported', type !== undefined, wanted, statement.evidenceType || 'nothing')
  if (type === undefined) return { checks: [supported], simulated: false }
  const data = options.reportData ?? (await reportData(statement))
  const appraisal = type === 'snp' ? judgeSnp(evidence, data, options) : judgeTdx(evidence, data, options)
  const { checks, ...rest } = await appraisal
  const isJudged = checks.some(({ code }) => code === 'format.unsupported')
  return { ...rest, checks: isJudged ? checks : [supported, ...checks] }
}

function judgeSnp(evidence: Evidence, data: Uint8Array, { policy, anchors, now }: AppraiseOptions) {
  return appraiseSnp(evidence, {
    policy: policy.snp,
    measurements: policy.measurements,
    revocation: policy.freshness.revocation,
    roots: anchors?.snp ?? trustedRoots(policy.simulatedRoots),
    reportData: data,
    now,
  })
}

function judgeTdx(evidence: Evidence, data: Uint8Array, { policy, anchors, now }: AppraiseOptions) {
  return appraiseTdx(evidence, {
    policy: policy.tdx,
    measurements: policy.measurements,
    revocation: policy.freshness.revocation,
    roots: anchors?.tdx.map((fingerprint) => ({ fingerprint, maker: 'Intel' })) ?? tdxRoots(policy.simulatedRoots),
    reportData: data,
    now,
  })
}

/** Ties the evidence to a chip. A simulated chip id means nothing, so not pinning it says no more than trust.simulated. */
function checkPlatform({ platformId, simulated, checks }: HardwareAppraisal, options: AppraiseOptions): Check[] {
  if (checks.length <= 1) return []
  const { platform } = options.policy
  const got = platformId ?? 'no platform id'
  if (platform.pinning === 'none') {
    return [rate('platform.unpinned', simulated ? 'affirming' : 'warning', 'pinning by the policy', got)]
  }
  const ids = platform.pinning === 'list' ? platform.ids : (options.expected.platformIds ?? []).map(toHex)
  return [judge('platform.unpinned', platformId !== undefined && ids.includes(platformId), `one of ${ids.length}`, got)]
}

const MINUTE_MS = 60_000

function toVerdict(
  checks: Check[],
  evidence: Evidence,
  options: AppraiseOptions,
  hardware: HardwareAppraisal,
): Verdict {
  const { now, policy } = options
  const tier = worstTier(checks)
  const ends = [now.getTime() + policy.freshness.verdictMinutes * MINUTE_MS]
  if (hardware.validUntil !== undefined) ends.push(hardware.validUntil.getTime())
  const isRefused = tier === 'contraindicated' || tier === 'none'
  return {
    tier,
    checks,
    simulated: hardware.simulated,
    evidenceType: EVIDENCE_TYPES.find((type) => type === evidence.statement?.evidenceType) ?? 'unknown',
    ...(hardware.platformId === undefined ? {} : { platformId: hardware.platformId }),
    ...(hardware.tcb === undefined ? {} : { tcb: hardware.tcb }),
    verifiedAt: now,
    expiresAt: isRefused ? now : new Date(Math.min(...ends)),
  }
}
