/** A new quote for a channel that was funded before the provider took the pod and outlived its quote. Spec: spec/PROTOCOL.md#resume. */
import { fromBinary } from '@bufbuild/protobuf'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { QuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { AttestedPeer } from './attest.ts'
import { inPhase, type LeaseStore } from './lease.ts'
import { paymentFor } from './payment.ts'
import { encodePricedPod, httpHosts } from './priced-pod.ts'
import type { PayingLease } from './provision.ts'
import { type AgreedQuote, requestQuote } from './quote.ts'
import { Secret } from './secret.ts'
import { readStatus } from './status.ts'

export interface RequoteOptions {
  chain: Chain
  leases: LeaseStore
  now?: Date
  signal?: AbortSignal
}

/**
 * The lease as it is while its quote holds or the provider has the pod; else with a new quote that the channel already pays for.
 * @throws TrustedPodsError QUOTE_TOO_EXPENSIVE when the channel would not cover it; QUOTE_… as `requestQuote`.
 */
export async function withLiveQuote(
  attested: AttestedPeer,
  lease: PayingLease,
  { chain, leases, now = new Date(), signal }: RequoteOptions,
): Promise<PayingLease> {
  const { pod, quote } = lease.draft.reveal()
  const { expiresAtMs, imageBytes } = fromBinary(QuoteSchema, quote.quote)
  if (expiresAtMs > BigInt(now.getTime()) || (await isKnown(attested, lease, signal))) return lease
  const wire = fromBinary(PodSchema, pod)
  const { payment } = paymentFor({ account: lease.provider.account, pricing: [] }, chain)
  const agreed = await requestQuote(attested, lease.resources, {
    payment: { ...payment, decimals: lease.pricing.decimals },
    httpHosts: httpHosts(wire),
    imageBytes,
    announced: lease.pricing,
    now,
    ...(signal && { signal }),
  })
  requireCovered(agreed, lease)
  const draft = {
    idempotencyKey: crypto.getRandomValues(new Uint8Array(16)),
    pod: encodePricedPod(wire, agreed),
    quote: agreed.signed,
  }
  const requoted = { ...inPhase(lease, { ...phaseOf(lease), draft: new Secret(draft) }), pricing: agreed.quote.pricing }
  await leases.save(requoted)
  return requoted
}

function phaseOf(lease: PayingLease) {
  if (lease.kind === 'opening') return { kind: lease.kind } as const
  return { kind: lease.kind, openTransaction: lease.openTransaction } as const
}

/** @throws TrustedPodsError WIRE_TRUNCATED when nothing was said: a pod that the provider may have must not be paid for anew. */
async function isKnown(attested: AttestedPeer, lease: PayingLease, signal?: AbortSignal): Promise<boolean> {
  try {
    for await (const _ of readStatus(attested, lease, signal ? { signal } : {})) return true
  } catch (error) {
    if (error instanceof TrustedPodsError && error.code === 'STATUS_UNKNOWN_POD') return false
    throw error
  }
  throw new TrustedPodsError('WIRE_TRUNCATED', 'the provider ended the status stream without a word about the pod')
}

/** The channel's terms cannot change: what they allow must be enough. */
function requireCovered({ quote: { payment } }: AgreedQuote, { channel: { terms, deposit } }: PayingLease): void {
  if (BigInt(payment.ratePerHour) > terms.ratePerHour) {
    throw new TrustedPodsError(
      'QUOTE_TOO_EXPENSIVE',
      `the provider now asks for ${payment.ratePerHour} base units per hour, the channel allows ${terms.ratePerHour}`,
    )
  }
  if (BigInt(payment.minDeposit) > deposit || payment.minUnlockDelaySeconds > terms.unlockDelay) {
    throw new TrustedPodsError(
      'QUOTE_TOO_EXPENSIVE',
      `the provider now asks for a deposit of ${payment.minDeposit} and a delay of ${payment.minUnlockDelaySeconds} s, the channel has ${deposit} and ${terms.unlockDelay} s`,
    )
  }
}
