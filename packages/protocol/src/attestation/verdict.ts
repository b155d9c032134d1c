/**
 * What a verifier says of evidence, whether a policy takes it, and how it reads. Spec: spec/ATTESTATION.md#verdict. Pure.
 */
import type { Check, Tier } from './checks.ts'
import type { EvidenceType, Policy } from './policy.ts'
import type { TcbStatus } from './tdx/tcb-status.ts'

export type { Check, CheckCode, Tier } from './checks.ts'

/** The outcome of an appraisal. JSON.stringify keeps all of it; the dates become ISO text. */
export interface Verdict {
  /** The worst tier of all checks. */
  readonly tier: Tier
  /** One entry for each check, made or not. */
  readonly checks: readonly Check[]
  /** The evidence is, or says that it is, simulated: nothing is confidential. */
  readonly simulated: boolean
  /** unknown: a type that the protocol does not name. */
  readonly evidenceType: EvidenceType | 'unknown'
  /** Hex of the chip's or platform's id; absent where the hardware gives none. */
  readonly platformId?: string
  /** TDX: what Intel says of the platform, its module and quoting enclave, in one word; absent where it lists them not. */
  readonly tcb?: {
    readonly status: TcbStatus
    readonly date: Date
    readonly advisories: readonly string[]
    readonly evaluationNumber: number
  }
  readonly verifiedAt: Date
  /** When to attest again; `verifiedAt` where the evidence is refused. */
  readonly expiresAt: Date
}

/** Shown first wherever it holds. */
export const SIMULATED_BANNER = 'SIMULATED - NOT CONFIDENTIAL'

/** Whether the policy takes the evidence: every check affirms, or is a warning that the policy tolerates by name. */
export function isAccepted(verdict: Verdict, policy: Policy): boolean {
  const tolerated = (check: Check) =>
    check.tier === 'affirming' ||
    (check.tier === 'warning' && policy.require === 'warning' && policy.allow.includes(check.code))
  if (verdict.checks.length === 0 || verdict.tier === 'none' || verdict.tier === 'contraindicated') return false
  if (verdict.simulated && !policy.allow.includes('trust.simulated')) return false
  return verdict.checks.every(tolerated)
}

/** The verdict as lines for people: the banner where it is due, one tick for each check, the result. */
export function formatVerdict(verdict: Verdict, options: { color: boolean }): string[] {
  const paint = options.color ? (text: string, color: Color) => `\x1b[${COLORS[color]}m${text}\x1b[0m` : plain
  const result = `verdict: ${verdict.tier} (${verdict.evidenceType}, until ${verdict.expiresAt.toISOString()})`
  return [
    ...(verdict.simulated ? [paint(SIMULATED_BANNER, 'banner')] : []),
    ...verdict.checks.map((check) => `${paint(TICKS[check.tier], check.tier)} ${formatCheck(check)}`),
    paint(result, verdict.tier),
  ]
}

type Color = Tier | 'banner'

const TICKS = { affirming: '✔', warning: '!', none: '?', contraindicated: '✘' } as const satisfies Record<Tier, string>
/** ANSI: green, yellow, red; the banner white on red. */
const COLORS = {
  affirming: '32',
  warning: '33',
  none: '33',
  contraindicated: '31',
  banner: '1;97;41',
} as const satisfies Record<Color, string>

function plain(text: string): string {
  return text
}

function formatCheck(check: Check): string {
  const head = `${check.code}: ${check.title}`
  if (check.tier === 'affirming') return `${head} (${abbreviate(check.got)})`
  if (check.tier === 'none') return `${head}: ${check.got}`
  return `${head}: expected ${check.expected}, got ${check.got} (${check.source}); ${check.advice}`
}

/** Digests that are as they should be: their beginning tells them apart; the JSON form has them whole. */
function abbreviate(text: string): string {
  return text.replace(/[0-9a-f]{40,}/g, (digits) => `${digits.slice(0, 16)}…`)
}
