/** Statuses one after the other: the whole of one when something has happened, the sums alone while nothing does. */
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { formatStatus, formatSums, statusJson } from './format-status.ts'
import { type Output, toJsonLine } from './output.ts'

/** 10 s between two lines that only tell what it costs by now. As JSON every status is told. */
const SUMS_INTERVAL_MS = 10_000

/** Tells a status, and says whether it was more than a sum that has grown. @param clock milliseconds, of any beginning. */
export function createStatusTeller(
  output: Output,
  lease: Lease,
  clock: () => number = () => performance.now(),
): (seen: LeaseStatus) => boolean {
  let said = { state: '', at: 0 }
  return (seen) => {
    const state = stateOf(seen)
    const isNews = state !== said.state
    if (!isNews && output.format === 'pretty' && clock() - said.at < SUMS_INTERVAL_MS) return false
    said = { state, at: clock() }
    const text = isNews ? formatStatus(lease, seen, output.colours) : formatSums(lease, seen, output.colours)
    output.result(text, statusJson(lease, seen))
    return isNews
  }
}

/** What of a status is more than a sum that grows. */
function stateOf({ receipt, funds, fetchedBytes: _, totalBytes: __, failure, ...rest }: LeaseStatus): string {
  const { isLow, suspendedAt, deletedAt, voucherWanted } = funds
  const money = { receipt: receipt.kind, isLow, suspendedAt, deletedAt, voucher: voucherWanted !== undefined }
  return toJsonLine({ ...rest, ...money, failure: failure?.code })
}
