/** A pod as the journal holds it. Pure. */
import type { SQLOutputValue } from 'node:sqlite'

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
  /** Lower-case hex, 32 bytes. */
  podId: string
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
  channelId: `0x${string}`
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
    publisher: String(row.publisher),
    idempotencyKey: String(row.idempotency_key),
    requestDigest: String(row.request_digest),
    phase: String(row.phase) as Phase,
    ...(row.reason_code !== null && { reason: { code: String(row.reason_code), message: String(row.reason) } }),
    ...(row.pod !== null && { pod: row.pod as Uint8Array }),
    images: JSON.parse(String(row.images)),
    quote: row.quote as Uint8Array,
    channelId: String(row.channel_id) as `0x${string}`,
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
