/** Goes on with a lease where an earlier run left it: each step is taken once, whatever happened. Spec: spec/PROTOCOL.md#resume. */
import type { Libp2p } from '@libp2p/interface'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Blockstore } from 'interface-blockstore'
import { attest } from './attest.ts'
import type { DeployEvent } from './deploy-event.ts'
import { dial } from './dial.ts'
import type { FundingChoice } from './funding.ts'
import type { Lease, LeaseOf, LeaseStore } from './lease.ts'
import { channelPayer } from './payment.ts'
import { provision } from './provision.ts'
import { whileLost } from './reconnect.ts'
import { confirmOpening, takeUpOpening } from './relayed-opening.ts'
import type { Relocate } from './relocate.ts'
import { withLiveQuote } from './requote.ts'
import { serveImages } from './serve-images.ts'
import { watchStatus } from './status.ts'
import { summarize } from './verdict-summary.ts'

export interface ResumeOptions {
  node: Libp2p
  chain: Chain
  policy: Policy
  /** Holds the blocks that were published then. */
  blockstore: Blockstore
  leases: LeaseStore
  /** Who sends an opening that is not on the chain yet. */
  funding?: FundingChoice
  /** Where the provider is now, when it does not answer where it was. */
  relocate?: Relocate
  /** Called with the bytes of each image block that the provider got from here. */
  onBlockSent?: (bytes: number) => void
  signal?: AbortSignal
}

/** Brings a lease to running; of one that runs already it tells the status.
 * @throws TrustedPodsError STATUS_NOT_RUNNING when the lease is closing or has ended; else as `deploy`. */
export async function* resumeLease(lease: Lease, options: ResumeOptions): AsyncGenerator<DeployEvent> {
  const { node, chain, policy, blockstore, leases } = options
  const relocate = options.relocate ? { relocate: options.relocate } : {}
  const signal = options.signal ? { signal: options.signal } : {}
  const watch = { ...(leases.receipts && { receipts: leases.receipts }), ...relocate, ...signal }
  if (lease.kind === 'closing' || lease.kind === 'ended') {
    throw new TrustedPodsError(
      'STATUS_NOT_RUNNING',
      `lease ${lease.id.slice(0, 12)} is ${lease.kind}: deploy the manifest anew`,
    )
  }
  if (lease.kind === 'running') {
    for await (const status of watchStatus(node, lease, watch)) yield { step: 'status', lease, status }
    return
  }
  const funding = options.funding ? { funding: options.funding } : {}
  const funded = lease.kind === 'opening' ? await takeUpOpening(chain, lease, { leases, ...funding, ...signal }) : lease
  yield { step: 'channel', lease: funded }
  await using peers = new AsyncDisposableStack()
  const prove = async () => {
    const peer = peers.use(await dial(node, lease.provider, { ...relocate, ...signal }))
    return attest(peer, policy, { platformIds: lease.provider.platformIds, ...signal })
  }
  const attested = await whileLost(prove, signal)
  await leases.verdicts?.save(lease.id, summarize(attested.verdict))
  yield { step: 'attest', verdict: attested.verdict }
  const current = await withLiveQuote(attested, funded, { chain, leases, ...signal })
  await using _ = await serveImages(node, { blockstore, peerId: lease.provider.peerId, onSent: options.onBlockSent })
  const running = yield* provision(attested, current, {
    payer: channelPayer(chain),
    confirmOpening: (opening: LeaseOf<'opening'>) => confirmOpening(chain, opening, { leases, ...signal }),
    leases,
    reattest: prove,
    ...signal,
  })
  for await (const status of watchStatus(node, running, watch)) yield { step: 'status', lease: running, status }
}
