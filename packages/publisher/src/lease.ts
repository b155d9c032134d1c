/**
 * The record of a lease: written before money moves, kept until it is back, enough to go on or to get the money out after a
 * crash at any point. Spec: spec/PROTOCOL.md#lease. Pure.
 */

import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'
import type { TransferAuthorization } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import type { SignedQuote } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import type { Receipt } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Resource } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import type { Address, Hex } from 'viem'
import type { ReceivedEvidence } from './attest.ts'
import type { ChannelOpening } from './opening.ts'
import type { Secret } from './secret.ts'
import type { VerdictStore } from './verdict-summary.ts'

/** What does not change while a lease lives. */
export interface LeaseFacts {
  /** The pod id as 64 lower-case hex digits; also the channel's. */
  readonly id: string
  /** What the publisher calls it; for people. */
  readonly name: string
  readonly createdAt: Date
  readonly provider: LeaseProvider
  readonly channel: LeaseChannel
  /** The price table agreed on. */
  readonly pricing: PricingTable
  /** What is reserved, for one replica. */
  readonly resources: readonly Resource[]
  /** The provider's evidence was simulated: nothing about this lease is confidential. */
  readonly simulated: boolean
  /** What was agreed with whom, for people who were not there; of a pod that ran. */
  readonly proof?: LeaseProof
}

/** Ties receipts to the quote, the pod and the evidence. Nothing of it is secret. */
export interface LeaseProof {
  readonly quote: SignedQuote
  /** SHA-256 of the encoded Pod. */
  readonly podDigest: Uint8Array
  /** SHA-256 of the encoded Evidence that was accepted. */
  readonly evidenceDigest: Uint8Array
  /** The payer's word that this channel pays for this pod by this quote between these peers. */
  readonly authorization: Uint8Array
}

export interface LeaseProvider {
  readonly account: Address
  readonly peerId: string
  readonly multiaddrs: readonly string[]
  /** Platforms that its record was pinned to. */
  readonly platformIds: readonly Uint8Array[]
}

export interface LeaseChannel {
  readonly chainId: bigint
  readonly escrow: Address
  readonly terms: ChannelTerms
  /** Base units paid in. */
  readonly deposit: bigint
  /** The chain's height before the channel was opened: where to look for it. */
  readonly sinceBlock: bigint
  /** Once it was seen. */
  readonly opening?: ChannelOpening
  /** What the payer signed in place of sending the opening itself: until it is used up or over, the channel may be opened by it. */
  readonly relay?: TransferAuthorization
  /** A top-up that was signed and is not known to have come in. */
  readonly topUp?: TransferAuthorization
}

/** What provisioning sends, the same each time; secret: it opens the images. */
export interface ProvisionDraft {
  /** 16 bytes; a repeat attaches to the same lease. */
  readonly idempotencyKey: Uint8Array
  /** The encoded Pod. */
  readonly pod: Uint8Array
  readonly quote: SignedQuote
}

export type LeasePhase =
  /** Stored; the channel may or may not be on the chain. */
  | { readonly kind: 'opening'; readonly draft: Secret<ProvisionDraft> }
  /** The deposit is in the channel; the provider may or may not know. */
  | { readonly kind: 'funded'; readonly draft: Secret<ProvisionDraft>; readonly openTransaction: Hex }
  /** The provider said that it runs. */
  | { readonly kind: 'running'; readonly openTransaction: Hex }
  /** We asked the chain to close: the refund is due at `closeAt`. */
  | { readonly kind: 'closing'; readonly closeAt: Date; readonly reason: string }
  /** The channel is closed and the refund withdrawn; nothing is owed by either side. */
  | {
      readonly kind: 'ended'
      readonly endedAt: Date
      readonly paid: bigint
      readonly refund: bigint
      readonly reason: string
    }

export type Lease = LeaseFacts & LeasePhase
export type LeaseOf<Kind extends LeasePhase['kind']> = LeaseFacts & Extract<LeasePhase, { kind: Kind }>

/** Where leases survive the process. */
export interface LeaseStore {
  /** Durable when it returns; replaces the record of the same id. */
  save(lease: Lease): Promise<void>
  /** The newest receipt of each lease; without it a receipt that falls is only seen by the run that saw a higher one. */
  readonly receipts?: ReceiptStore
  /** What the provider proved last; without it a verdict that worsens is only seen by the run that saw a better one. */
  readonly verdicts?: VerdictStore
  /** The evidence by which the provider of a running pod was accepted, for whoever wants to judge it later. */
  readonly evidence?: { save(leaseId: string, received: ReceivedEvidence): Promise<void> }
}

/** Lies beside the records: who watches a pod must not write over a phase that another run has stored since. */
export interface ReceiptStore {
  /** What was saved last; undefined: nothing. */
  load(leaseId: string): Promise<Receipt | undefined>
  /** Durable when it returns. */
  save(leaseId: string, receipt: Receipt): Promise<void>
}

/** The same lease in another phase; what the old phase owned, secrets included, is left behind. */
export function inPhase<P extends LeasePhase>(lease: Lease, phase: P): LeaseFacts & P {
  const { id, name, createdAt, provider, channel, pricing, resources, simulated, proof } = lease
  const facts = { id, name, createdAt, provider, channel, pricing, resources, simulated }
  return { ...facts, ...(proof && { proof }), ...phase }
}
