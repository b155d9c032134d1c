/** What is remembered of an accepted verdict, and in what a later one is worse. Spec: spec/ATTESTATION.md#long-life. Pure. */
import { type CheckCode, isWarningCode, type Tier } from '@trusted-pods/protocol/attestation/checks.ts'
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'

/** Of a verdict that the policy took: its tier is affirming or warning. */
export interface VerdictSummary {
  readonly evidenceType: Verdict['evidenceType']
  readonly tier: Tier
  readonly simulated: boolean
  /** Hex; absent where the hardware gives none. */
  readonly platformId?: string
  /** Codes that the policy tolerated. */
  readonly warnings: readonly CheckCode[]
  readonly verifiedAt: Date
  readonly expiresAt: Date
}

/** Where summaries survive the process: beside the leases, as receipts do. */
export interface VerdictStore {
  /** The last that was accepted; undefined: none is known. */
  load(leaseId: string): Promise<VerdictSummary | undefined>
  /** Durable when it returns. */
  save(leaseId: string, summary: VerdictSummary): Promise<void>
}

export function summarize(verdict: Verdict): VerdictSummary {
  const { evidenceType, tier, simulated, platformId, verifiedAt, expiresAt } = verdict
  const warnings = verdict.checks.filter((check) => check.tier === 'warning').map(({ code }) => code)
  return { evidenceType, tier, simulated, ...(platformId && { platformId }), warnings, verifiedAt, expiresAt }
}

/** In what `now` is worse than `before`, in words; empty where it is as good or better. Times are not compared. */
export function worsened(before: VerdictSummary, now: VerdictSummary): string[] {
  const warned = now.warnings.filter((code) => !before.warnings.includes(code))
  return [
    ...warned.map((code) => `${code} passed before and is a warning now`),
    ...(now.simulated && !before.simulated ? ['the evidence is simulated now'] : []),
    ...changed('evidence type', before.evidenceType, now.evidenceType),
    ...changed('platform', before.platformId ?? 'none', now.platformId ?? 'none'),
  ]
}

function changed(what: string, before: string, now: string): string[] {
  return before === now ? [] : [`the ${what} was ${before} and is ${now} now`]
}

export function summaryToJson(summary: VerdictSummary): string {
  return `${JSON.stringify(summary)}\n`
}

/** Undefined where the text was damaged: there is nothing to compare with then, and the next verdict takes its place. */
export function summaryFromJson(text: string): VerdictSummary | undefined {
  try {
    const value = JSON.parse(text) as Record<keyof VerdictSummary, unknown>
    const { evidenceType, tier, simulated, platformId, warnings } = value
    const [verifiedAt, expiresAt] = [new Date(String(value.verifiedAt)), new Date(String(value.expiresAt))]
    if (evidenceType !== 'snp' && evidenceType !== 'tdx') return undefined
    if ((tier !== 'affirming' && tier !== 'warning') || typeof simulated !== 'boolean') return undefined
    if (!Array.isArray(warnings) || Number.isNaN(verifiedAt.getTime()) || Number.isNaN(expiresAt.getTime()))
      return undefined
    const known = warnings.filter((code): code is CheckCode => typeof code === 'string' && isWarningCode(code))
    const id = typeof platformId === 'string' ? { platformId } : {}
    return { evidenceType, tier, simulated, ...id, warnings: known, verifiedAt, expiresAt }
  } catch {
    return undefined
  }
}
