/** Watches a running pod: what becomes of it, and what its provider goes on to prove. Spec: spec/ATTESTATION.md#long-life. */
import type { Libp2p } from '@libp2p/interface'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import type { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { LocalAccount } from 'viem'
import { type AttestationNews, type AttestationWatchOptions, watchAttestation } from './attestation-watch.ts'
import { FirstReady } from './first-ready.ts'
import type { LeaseFacts, LeaseStore } from './lease.ts'
import type { Relocate } from './relocate.ts'
import { watchStatus } from './status.ts'
import type { LeaseStatus } from './status-stream.ts'

export type LeaseNews =
  | { readonly kind: 'status'; readonly status: LeaseStatus }
  | { readonly kind: 'attestation'; readonly attestation: AttestationNews }

export interface FollowOptions {
  /** Without it the provider is not attested again. */
  policy?: Policy
  /** Remember receipts and verdicts between runs. */
  leases?: Pick<LeaseStore, 'receipts' | 'verdicts'>
  /** Signs the vouchers that the provider asks for. */
  voucherSigner?: LocalAccount
  /** Told when the way to the provider is lost, once until it is found again. */
  onLost?: (error: TrustedPodsError) => void
  /** Where the provider is now, when it does not answer where it was. */
  relocate?: Relocate
  signal?: AbortSignal
}

/** Both as they come, until the pod has ended. A provider that stays away is waited for: it may have more to prove.
 * @throws TrustedPodsError STATUS_UNKNOWN_POD with remote. */
export async function* followLease(
  node: Libp2p,
  lease: LeaseFacts,
  { policy, leases = {}, voucherSigner, onLost, relocate, signal }: FollowOptions,
): AsyncGenerator<LeaseNews> {
  const over = new AbortController()
  const way = relocate ? { relocate } : {}
  const common = { ...way, follow: true, signal: signal ? AbortSignal.any([signal, over.signal]) : over.signal }
  const { receipts, verdicts } = leases
  const patience = {
    tries: Number.POSITIVE_INFINITY,
    ...(onLost && { onLost }),
    ...(voucherSigner && { voucherSigner }),
  }
  const sources = [
    statusNews(watchStatus(node, lease, { ...common, ...patience, ...(receipts && { receipts }) })),
    ...(policy
      ? [attestationNews(watchAttestation(node, lease, { ...common, policy, ...(verdicts && { verdicts }) }))]
      : []),
  ]
  let failure: { error: unknown } | undefined
  const first = new FirstReady<LeaseNews>()
  for (const source of sources) first.ask(source)
  try {
    for (;;) {
      const { source, result } = await first.take()
      if (result.done) break
      first.ask(source)
      yield result.value
    }
  } catch (error) {
    signal?.throwIfAborted()
    failure = { error }
  } finally {
    over.abort(new Error('nobody watches any more'))
    // What it still waited for has been aborted just now.
    await first.settled()
  }
  if (policy)
    yield* lastEvidence(node, lease, { policy, ...way, ...(verdicts && { verdicts }), ...(signal && { signal }) })
  if (failure) throw failure.error
}

/**
 * That a pod has ended, or is not known, is its provider's word: whoever says it must be proven after that, or refused, or have
 * nothing that it proved before left.
 */
async function* lastEvidence(
  node: Libp2p,
  lease: LeaseFacts,
  options: AttestationWatchOptions,
): AsyncGenerator<LeaseNews> {
  for await (const attestation of watchAttestation(node, lease, { ...options, follow: true })) {
    if (attestation.kind === 'proven') return
    yield { kind: 'attestation', attestation }
    if (attestation.kind !== 'unknown') return
  }
}

async function* statusNews(statuses: AsyncIterable<LeaseStatus>): AsyncGenerator<LeaseNews> {
  for await (const status of statuses) yield { kind: 'status', status }
}

async function* attestationNews(news: AsyncIterable<AttestationNews>): AsyncGenerator<LeaseNews> {
  for await (const attestation of news) yield { kind: 'attestation', attestation }
}
