/**
 * The verifier: evidence and policy in, verdict out. No network, no clock of its own, never throws on evidence.
 * Spec: spec/ATTESTATION.md#appraisal. Pure.
 */
import { toHex } from '../bytes.ts'
import type { Evidence } from '../gen/trustedpods/v0/attest_pb.ts'
import { appraiseBinding, type ExpectedStatement, NO_STATEMENT } from './appraise-binding.ts'
import { type Check, judge, rate, worstTier } from './checks.ts'
import { EVIDENCE_TYPES, type Policy } from './policy.ts'
import { appraiseSnp, type SnpAppraisal } from './snp/appraise-snp.ts'
import { type TrustedRoot, trustedRoots } from './snp/roots.ts'
import { reportData } from './statement.ts'
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
  const binding = await appraiseBinding(evidence, options)
  const hardware = await appraiseHardware(evidence, options)
  const pinning = checkPlatform(hardware, options)
  return toVerdict([size, ...binding, ...hardware.checks, ...pinning], evidence, options, hardware)
}

const KIB = 1024
/** What evidence may hold; spec/ATTESTATION.md#limits. A certificate of AMD's has 1.7 KiB, a revocation list 0.9. */
const MAX_REPORT_BYTES = 64 * KIB
const MAX_CERTIFICATES = 8
const MAX_CERTIFICATE_BYTES = 8 * KIB
const MAX_CRLS = 4
const MAX_CRL_BYTES = 256 * KIB
const MAX_CAPACITY_BYTES = 64 * KIB
const MAX_CLAIMS_BYTES = 16 * KIB
/** Of each peer id and of the evidence type. */
const MAX_FIELD_BYTES = 128

const NOTHING: SnpAppraisal = { checks: [], simulated: false }

function checkSize(evidence: Evidence): Check {
  const statement = evidence.statement ?? NO_STATEMENT
  const fields = [statement.publisherPeerId, statement.providerPeerId, statement.evidenceType]
  const over = [
    ...(evidence.report.length > MAX_REPORT_BYTES ? ['report'] : []),
    ...(isOver(evidence.certificates, MAX_CERTIFICATES, MAX_CERTIFICATE_BYTES) ? ['certificates'] : []),
    ...(isOver(evidence.crls, MAX_CRLS, MAX_CRL_BYTES) ? ['revocation lists'] : []),
    ...(evidence.capacityResponse.length > MAX_CAPACITY_BYTES ? ['capacity response'] : []),
    ...(evidence.claims.length > MAX_CLAIMS_BYTES ? ['claims'] : []),
    ...(fields.some(({ length }) => length > MAX_FIELD_BYTES) ? ['statement'] : []),
  ]
  return judge('format.size', over.length === 0, 'all within the limits', over.join(', ') || 'within the limits')
}

function isOver(items: readonly Uint8Array[], count: number, bytes: number): boolean {
  return items.length > count || items.some(({ length }) => length > bytes)
}

/** The statement says which verifier judges; what none judges is refused. */
async function appraiseHardware(evidence: Evidence, options: AppraiseOptions): Promise<SnpAppraisal> {
  const { policy, now, anchors } = options
  const statement = evidence.statement ?? NO_STATEMENT
  const type = statement.evidenceType
  const supported = judge('format.unsupported', type === 'snp', 'snp', type || 'nothing')
  if (type !== 'snp') return { checks: [supported], simulated: false }
  const appraisal = await appraiseSnp(evidence, {
    policy: policy.snp,
    measurements: policy.measurements,
    revocation: policy.freshness.revocation,
    roots: anchors?.snp ?? trustedRoots(policy.simulatedRoots),
    reportData: options.reportData ?? (await reportData(statement)),
    now,
  })
  const isJudged = appraisal.checks.some(({ code }) => code === 'format.unsupported')
  return { ...appraisal, checks: isJudged ? appraisal.checks : [supported, ...appraisal.checks] }
}

/** Ties the evidence to a chip. A simulated chip id means nothing, so not pinning it says no more than trust.simulated. */
function checkPlatform({ platformId, simulated, checks }: SnpAppraisal, options: AppraiseOptions): Check[] {
  if (checks.length <= 1) return []
  const { platform } = options.policy
  const got = platformId ?? 'no chip id'
  if (platform.pinning === 'none') {
    return [rate('platform.unpinned', simulated ? 'affirming' : 'warning', 'pinning by the policy', got)]
  }
  const ids = platform.pinning === 'list' ? platform.ids : (options.expected.platformIds ?? []).map(toHex)
  return [judge('platform.unpinned', platformId !== undefined && ids.includes(platformId), `one of ${ids.length}`, got)]
}

const MINUTE_MS = 60_000

function toVerdict(checks: Check[], evidence: Evidence, options: AppraiseOptions, hardware: SnpAppraisal): Verdict {
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
    verifiedAt: now,
    expiresAt: isRefused ? now : new Date(Math.min(...ends)),
  }
}
