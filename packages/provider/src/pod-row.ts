/** A pod as the journal holds it. Pure. */
import type { SQLOutputValue } from 'node:sqlite'
import { fromBinary } from '@bufbuild/protobuf'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { GivenDevice } from './devices.ts'

/**
 * Forward: accepted to running, then stopping, stopped; or failed from any of the first four. A running pod may be suspended, its
 * data kept, and goes back to starting.
 */
export type Phase =
  | 'accepted'
  | 'fetching'
  | 'opening'
  | 'starting'
  | 'running'
  | 'suspended'
  | 'stopping'
  | 'stopped'
  | 'failed'

/** Phases in which resources are held. */
export const LIVE_PHASES = [
  'accepted',
  'fetching',
  'opening',
  'starting',
  'running',
  'suspended',
  'stopping',
] as const satisfies Phase[]
/** Phases on the way to running. */
export const STARTING_PHASES = ['accepted', 'fetching', 'opening', 'starting'] as const satisfies Phase[]

export interface PodRow {
  /** Id of its channel, lower-case hex, 32 bytes: names the pod here, because nobody can choose it. */
  podId: string
  /** The pod id of the channel's terms, lower-case hex, 32 bytes: what its publisher calls it, and anybody could copy. */
  termsPodId: string
  /** Peer id, text form. */
  publisher: string
  /** Lower-case hex, 16 bytes. */
  idempotencyKey: string
  /** SHA-256 of the encoded Pod, lower-case hex. */
  requestDigest: string
  phase: Phase
  /** Why it is stopping, stopped or failed. */
  reason?: { code: string; message: string }
  /** The encoded Pod; absent once the pod has ended. Secret. */
  pod?: Uint8Array
  /** The runtime's names of its images, by container; empty before they are opened. */
  images: string[]
  /** GPUs that are its own as long as it lives. */
  devices: readonly GivenDevice[]
  /** The encoded SignedQuote. */
  quote: Uint8Array
  /** The encoded PaymentChannel. */
  channel: Uint8Array
  /** Base units, as last seen on the chain. */
  deposited: bigint
  /** Base units, as last seen on the chain. */
  claimed: bigint
  /** When a claim of ours was last mined, Unix milliseconds. */
  claimedAtMs?: number
  fetchedBytes: number
  /** When the deposit was found used up, Unix milliseconds. */
  shortOfFundsAtMs?: number
  /** Why it is suspended, and since when. */
  suspension?: Suspension
  /** The opening of its channel, as the chain showed it at admission. */
  opening?: ChannelOpening
  /** A voucher of the payer: the highest that came. */
  voucher?: { cumulative: bigint; signature: Uint8Array }
  /** Hash of the settling transaction. */
  settlement?: string
  /** Height of the chain when it was seen settled. */
  settledBlock?: bigint
  acceptedAtMs: number
  /** When it was last let go on after a suspension, Unix milliseconds. */
  resumedAtMs?: number
  endedAtMs?: number
}

export interface Suspension {
  why: 'funds-exhausted' | 'deposit-missing'
  sinceMs: number
}

/** Enough to tell a reorganisation from an endpoint that lags, and to send the opening again after one. */
export interface ChannelOpening {
  blockNumber: bigint
  /** Lower-case 0x hex. */
  blockHash: string
  /** The payer's signed transaction. */
  raw: Uint8Array
}

export function toPodRow(row: Record<string, SQLOutputValue>): PodRow {
  return {
    podId: String(row.pod_id),
    termsPodId: String(row.terms_pod_id),
    publisher: String(row.publisher),
    idempotencyKey: String(row.idempotency_key),
    requestDigest: String(row.request_digest),
    phase: String(row.phase) as Phase,
    ...(row.reason_code !== null && { reason: { code: String(row.reason_code), message: String(row.reason) } }),
    ...(row.pod !== null && { pod: row.pod as Uint8Array }),
    images: JSON.parse(String(row.images)),
    devices: JSON.parse(String(row.devices)),
    quote: row.quote as Uint8Array,
    channel: row.channel as Uint8Array,
    deposited: BigInt(String(row.deposited)),
    claimed: BigInt(String(row.claimed)),
    ...(row.claimed_at !== null && { claimedAtMs: Number(row.claimed_at) }),
    fetchedBytes: Number(row.fetched_bytes),
    ...(row.short_of_funds_at !== null && { shortOfFundsAtMs: Number(row.short_of_funds_at) }),
    ...(row.suspended_for !== null && {
      suspension: { why: String(row.suspended_for) as Suspension['why'], sinceMs: Number(row.suspended_at) },
    }),
    ...(row.opening_raw !== null && {
      opening: {
        blockNumber: BigInt(String(row.opening_block)),
        blockHash: String(row.opening_hash),
        raw: row.opening_raw as Uint8Array,
      },
    }),
    ...(row.voucher !== null && {
      voucher: { cumulative: BigInt(String(row.voucher_sum)), signature: row.voucher as Uint8Array },
    }),
    ...(row.settlement !== null && { settlement: String(row.settlement) }),
    ...(row.settled_block !== null && { settledBlock: BigInt(String(row.settled_block)) }),
    acceptedAtMs: Number(row.accepted_at),
    ...(row.resumed_at !== null && { resumedAtMs: Number(row.resumed_at) }),
    ...(row.ended_at !== null && { endedAtMs: Number(row.ended_at) }),
  }
}

/** @throws TrustedPodsError PLATFORM_STATE when the journal has forgotten the manifest. */
export function podOf(row: PodRow): Pod {
  if (!row.pod) throw new TrustedPodsError('PLATFORM_STATE', `the journal has no manifest for pod ${row.podId}`)
  return fromBinary(PodSchema, row.pod)
}
