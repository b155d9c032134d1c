/** Judges firmware versions: consistent, committed, not below the policy's floor. Spec: spec/ATTESTATION.md#tcb. Pure. */
import { type Check, judge, rate } from '../checks.ts'
import type { ProductPolicy } from './policy.ts'
import type { SnpReport } from './report.ts'
import { formatTcb, hasReservedByte, isAtLeast, isSameTcb, type SnpProduct, toTcb } from './tcb.ts'

/** `floor` undefined: the policy does not know the line, so nothing is high enough. */
export function appraiseTcb(report: SnpReport, product: SnpProduct, floor: ProductPolicy | undefined): Check[] {
  const reported = toTcb(report.reportedTcb, product)
  const committed = toTcb(report.committedTcb, product)
  const current = toTcb(report.currentTcb, product)
  const launch = toTcb(report.launchTcb, product)
  const { reportedTcb, committedTcb, currentTcb, launchTcb } = report
  const isKnown = ![reportedTcb, committedTcb, currentTcb, launchTcb].some((tcb) => hasReservedByte(tcb, product))
  const isConsistent = isKnown && isAtLeast(committed, reported) && isAtLeast(current, committed)
  const versions = `${formatTcb(reported)}; ${formatTcb(committed)}; ${formatTcb(current)}`
  const got = isKnown ? versions : 'reserved bytes set'
  const none = 'a minimum for this line in the policy'
  return [
    judge('tcb.inconsistent', isConsistent, 'reported <= committed <= current', got),
    rate(
      'tcb.provisional',
      isSameTcb(current, committed) ? 'affirming' : 'warning',
      `committed ${formatTcb(current)}`,
      formatTcb(committed),
    ),
    judge(
      'tcb.below-minimum',
      floor !== undefined && isAtLeast(reported, floor.minTcb),
      floor ? formatTcb(floor.minTcb) : none,
      formatTcb(reported),
    ),
    judge(
      'tcb.launch-below-minimum',
      floor !== undefined && isAtLeast(launch, floor.minLaunchTcb),
      floor ? formatTcb(floor.minLaunchTcb) : none,
      formatTcb(launch),
    ),
    checkMitigations(report, floor),
  ]
}

function checkMitigations({ version, mitigations }: SnpReport, floor: ProductPolicy | undefined): Check {
  const wanted = floor?.minMitigation ?? 0
  const active = version >= 5 ? mitigations : 0
  const holds = floor !== undefined && (active & wanted) >>> 0 === wanted
  return judge('tcb.mitigation', holds, `0x${wanted.toString(16)}`, `0x${active.toString(16)}`)
}
