/** A pod as the journal holds it. Pure. */
import type { SQLOutputValue } from 'node:sqlite'
import { fromBinary } from '@bufbuild/protobuf'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'

/** Forward only: accepted to running, then stopping, stopped; or failed from any of the first four. */
export type Phase = 'accepted' | 'fetching' | 'opening' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

/** Phases in which resources are held. */
export const LIVE_PHASES = [
  'accepted',
  'fetching',
  'opening',
  'starting',
  'running',
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
  /** The encoded SignedQuote. */
  quote: Uint8Array
  /** The encoded PaymentChannel. */
  channel: Uint8Array
  /** Base units, as last seen on the chain. */
  deposited: bigint
  /** Base units, as last seen on the chain. */
  claimed: bigint
  fetchedBytes: number
  /** When the deposit was found used up, Unix milliseconds. */
  shortOfFundsAtMs?: number
  /** Hash of the settling transaction. */
  settlement?: string
  acceptedAtMs: number
  endedAtMs?: number
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
    quote: row.quote as Uint8Array,
    channel: row.channel as Uint8Array,
    deposited: BigInt(String(row.deposited)),
    claimed: BigInt(String(row.claimed)),
    fetchedBytes: Number(row.fetched_bytes),
    ...(row.short_of_funds_at !== null && { shortOfFundsAtMs: Number(row.short_of_funds_at) }),
    ...(row.settlement !== null && { settlement: String(row.settlement) }),
    acceptedAtMs: Number(row.accepted_at),
    ...(row.ended_at !== null && { endedAtMs: Number(row.ended_at) }),
  }
}

/** @throws TrustedPodsError PLATFORM_STATE when the journal has forgotten the manifest. */
export function podOf(row: PodRow): Pod {
  if (!row.pod) throw new TrustedPodsError('PLATFORM_STATE', `the journal has no manifest for pod ${row.podId}`)
  return fromBinary(PodSchema, row.pod)
}
