/** How long a deposit lasts: by the receipts that we verified, and in the provider's own words. Spec: spec/PAYMENT.md#funds. Pure. */
import type { Funds } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { LeaseFacts } from './lease.ts'
import type { ReceiptView } from './receipt-watch.ts'

export interface FundsView {
  /** Base units in the channel that no receipt has used. */
  readonly left: bigint
  /** Seconds that this lasts at the channel's rate; undefined: there is no rate. */
  readonly lastsSeconds: bigint | undefined
  readonly isLow: boolean
  /** The provider's word: when it suspends, or has suspended, the pod. */
  readonly suspendedAt?: Date
  /** The provider's word: when it deletes the pod's data. */
  readonly deletedAt?: Date
  /** The provider's word: a voucher up to this sum is asked for. */
  readonly voucherWanted?: bigint
}

const SECONDS_PER_HOUR = 3600n
/** An hour: time to see the warning and to have a top-up mined, whatever the deposit. */
const LOW_SECONDS = 3600n
/** Of a deposit for less than ten hours the last tenth: a warning from the start would be none. */
const LOW_FRACTION = 10n

/** What a provider says of funds is shown, never acted on: only verified receipts count. */
export function fundsOf(
  { channel: { terms, deposit } }: LeaseFacts,
  receipt: ReceiptView,
  told: Funds | undefined,
): FundsView {
  const owed = receipt.kind === 'verified' ? receipt.owed : 0n
  const left = owed < deposit ? deposit - owed : 0n
  const lastsSeconds = terms.ratePerHour === 0n ? undefined : (left * SECONDS_PER_HOUR) / terms.ratePerHour
  return {
    left,
    lastsSeconds,
    isLow: left === 0n || (lastsSeconds !== undefined && lastsSeconds < LOW_SECONDS && left * LOW_FRACTION < deposit),
    ...(told && toldBy(told)),
  }
}

function toldBy({ suspendedAtMs, deletedAtMs, voucherWanted }: Funds): Partial<FundsView> {
  const wanted = /^[1-9][0-9]{0,37}$/.test(voucherWanted) ? BigInt(voucherWanted) : undefined
  return {
    ...dateOf('suspendedAt', suspendedAtMs),
    ...dateOf('deletedAt', deletedAtMs),
    ...(wanted !== undefined && { voucherWanted: wanted }),
  }
}

/** A time beyond what a Date can hold is none. */
function dateOf(key: 'suspendedAt' | 'deletedAt', unixMs: bigint): Partial<FundsView> {
  return unixMs > 0n && unixMs < 8_640_000_000_000_000n ? { [key]: new Date(Number(unixMs)) } : {}
}
