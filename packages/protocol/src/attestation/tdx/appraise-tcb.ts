/** Judges the status that Intel's algorithm gives. Spec: spec/ATTESTATION.md#tdx-tcb. Pure. */
import { type Check, type CheckCode, judge, rate } from '../checks.ts'
import type { Rating, TdxPolicy } from './policy.ts'
import {
  CONFIGURATION_NEEDED,
  evaluateTcb,
  isKnownModule,
  type TcbParts,
  type TcbStatus,
  type TdxTcb,
} from './tcb-status.ts'

export interface TcbAppraisal {
  readonly checks: Check[]
  /** Absent where Intel does not list the TCB. */
  readonly tcb?: TdxTcb
}

export function appraiseTcb(parts: TcbParts, { policy, now }: { policy: TdxPolicy; now: Date }): TcbAppraisal {
  const tcb = evaluateTcb(parts)
  const isKnown = isKnownModule(parts.td, parts.tcbInfo)
  const missing = 'missing' in tcb ? tcb.missing : undefined
  const isNamed = isKnown && missing !== 'module identity'
  const module = judge('tcb.module-mismatch', isNamed, 'a module that Intel names', isNamed ? 'one' : 'another')
  const listed = judge('tcb.not-supported', missing === undefined, 'a listed TCB', missing ? `no ${missing}` : 'listed')
  if ('missing' in tcb) return { checks: [module, listed] }
  return { checks: [module, listed, ...rateStatus(tcb, policy, now), rateAdvisories(tcb, policy)], tcb }
}

const OUT_OF_DATE: ReadonlySet<TcbStatus> = new Set(['OutOfDate', 'OutOfDateConfigurationNeeded'])
const HARDENING: ReadonlySet<TcbStatus> = new Set(['SWHardeningNeeded', 'ConfigurationAndSWHardeningNeeded'])
const RELAUNCH: ReadonlySet<TcbStatus> = new Set(['TDRelaunchAdvised', 'TDRelaunchAdvisedConfigurationNeeded'])

const DAY_MS = 86_400_000

function rateStatus({ status, date }: TdxTcb, { tcb }: TdxPolicy, now: Date): Check[] {
  const got = `${status}, level of ${date.toISOString().slice(0, 10)}`
  const rateIf = (code: CheckCode, applies: boolean, rating: Rating) =>
    rate(code, applies ? rating : 'affirming', 'UpToDate', got)
  const { outOfDateGraceDays } = tcb
  const isGraced = outOfDateGraceDays > 0 && now.getTime() <= date.getTime() + outOfDateGraceDays * DAY_MS
  return [
    rateIf('tcb.revoked', status === 'Revoked', 'contraindicated'),
    rateIf('tcb.out-of-date', OUT_OF_DATE.has(status), isGraced ? 'warning' : 'contraindicated'),
    rateIf('tcb.configuration', CONFIGURATION_NEEDED.has(status), tcb.configurationNeeded),
    rateIf('tcb.sw-hardening', HARDENING.has(status), tcb.swHardeningNeeded),
    rateIf('tcb.relaunch', RELAUNCH.has(status), tcb.relaunchAdvised),
  ]
}

function rateAdvisories({ advisories }: TdxTcb, { advisories: { allow, deny } }: TdxPolicy): Check {
  const denied = advisories.filter((id) => deny.includes(id))
  const open = advisories.filter((id) => !allow.includes(id))
  const tier = denied.length > 0 ? 'contraindicated' : open.length > 0 ? 'warning' : 'affirming'
  return rate('tcb.advisory', tier, allow.join(', ') || 'none', advisories.join(', ') || 'none')
}
