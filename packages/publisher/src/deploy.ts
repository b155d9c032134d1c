/** The buyer's whole story: the seven steps of the protocol, in order. Spec: spec/PROTOCOL.md. */
import type { Libp2p } from '@libp2p/interface'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { tokenMetadata } from '@trusted-pods/protocol/chain/token.ts'
import { treeBytes } from '@trusted-pods/protocol/image/tree-bytes.ts'
import type { Manifest } from '@trusted-pods/protocol/manifest/manifest.ts'
import { podResources } from '@trusted-pods/protocol/manifest/resources.ts'
import { toWire } from '@trusted-pods/protocol/manifest/to-wire.ts'
import type { Blockstore } from 'interface-blockstore'
import type { Hex } from 'viem'
import { attest } from './attest.ts'
import { openChannel } from './channel.ts'
import type { DeployEvent } from './deploy-event.ts'
import { dial } from './dial.ts'
import { chooseFunding, type FundingChoice } from './funding.ts'
import type { LeaseOf, LeaseStore } from './lease.ts'
import { leaseProvider, type ProviderOffer, platformIds } from './offer.ts'
import { channelPayer, paymentFor } from './payment.ts'
import { type DepositChoice, makePlan, type Plan } from './plan.ts'
import { encodePricedPod, httpHosts } from './priced-pod.ts'
import { provision } from './provision.ts'
import { type ImagePublisher, publishImages } from './publish-images.ts'
import { requestQuote } from './quote.ts'
import { authorizeOpening, confirmOpening } from './relayed-opening.ts'
import { serveImages } from './serve-images.ts'
import { requireWithin, type SpendLimits } from './spend-limits.ts'
import { watchStatus } from './status.ts'
import { summarize } from './verdict-summary.ts'

export interface DeployOptions {
  /** Our end of the wire. */
  node: Libp2p
  /** Where we pay; connected with the wallet that does. */
  chain: Chain
  /** What we demand of the provider's evidence. */
  policy: Policy
  images: ImagePublisher
  /** Where `images` puts its blocks. */
  blockstore: Blockstore
  /** Contents of the manifest's secret files, by their `source`. */
  secrets: ReadonlyMap<string, Uint8Array>
  leases: LeaseStore
  /** What the lease is called; for people. */
  name: string
  /** The id that the lease shall have; drawn when left out. */
  podId?: Hex
  deposit?: DepositChoice
  /** Who sends the opening of the channel. */
  funding?: FundingChoice
  /** What it may cost at most; without them `confirm` alone decides. */
  limits?: SpendLimits
  /** Asked once, before money moves; false ends the deployment. */
  confirm(plan: Plan): Promise<boolean>
  /** Called with the bytes of each image block that the provider got from here. */
  onBlockSent?: (bytes: number) => void
  signal?: AbortSignal
}

/**
 * Deploys a manifest on one provider and tells each step; the last event has the lease of the running pod. Ends after the plan
 * when it is not confirmed.
 * @throws TrustedPodsError whose code begins with the step; QUOTE_TOO_EXPENSIVE above the limits. Before the lease is stored nothing was paid; afterwards
 * `resumeLease` and `stopLease` lead out of every state.
 */
export async function* deploy(
  manifest: Manifest,
  offer: ProviderOffer,
  options: DeployOptions,
): AsyncGenerator<DeployEvent> {
  const { node, chain, policy, blockstore, secrets, leases, name, podId, deposit, limits = {}, confirm } = options
  const signal = options.signal ? { signal: options.signal } : {}

  const images = await publishImages(manifest, options)
  const draft = toWire(manifest, { images, secrets })
  yield { step: 'manifest', images: images.size, bytes: sum([...images.values()].map(({ bytes }) => bytes)) }

  await using peers = new AsyncDisposableStack()
  const meet = async () => peers.use(await dial(node, offer, signal))
  const peer = await meet()
  yield { step: 'wire', offer, address: peer.connection.remoteAddr.toString() }

  const prove = { platformIds: platformIds(offer), ...signal }
  const attested = await attest(peer, policy, prove)
  yield { step: 'attest', verdict: attested.verdict }

  const { payment, ...announced } = paymentFor(offer, chain)
  const { decimals } = await tokenMetadata(chain, payment.token)
  const quote = await requestQuote(attested, podResources(draft), {
    payment: { ...payment, decimals },
    ...announced,
    httpHosts: httpHosts(draft),
    imageBytes: await imageBytes(images, options),
    ...signal,
  })
  const funding = await chooseFunding(chain, { token: payment.token, ...quote.quote.payment }, options.funding)
  const judged = { offer, verdict: attested.verdict, funding }
  const plan = makePlan(quote, { ...judged, ...announced, ...(deposit && { deposit }) })
  requireWithin(plan, limits)
  yield { step: 'quote', plan }
  if (!(await confirm(plan))) return

  const { simulated } = attested.verdict
  const pod = encodePricedPod(draft, quote)
  const terms = { deposit: plan.deposit, pod, name, provider: leaseProvider(offer), simulated, ...(podId && { podId }) }
  const open = funding.kind === 'own' ? openChannel : authorizeOpening
  const channel = await open(chain, quote, { ...terms, leases, ...signal })
  await leases.verdicts?.save(channel.id, summarize(attested.verdict))
  yield { step: 'channel', lease: channel }

  await using _ = await serveImages(node, { blockstore, peerId: offer.peerId, onSent: options.onBlockSent })
  const reattest = async () => attest(await meet(), policy, prove)
  const paying = {
    payer: channelPayer(chain),
    confirmOpening: (opening: LeaseOf<'opening'>) => confirmOpening(chain, opening, { leases, ...signal }),
  }
  const lease = yield* provision(attested, channel, { ...paying, leases, reattest, ...signal })

  const watch = { ...(leases.receipts && { receipts: leases.receipts }), ...signal }
  for await (const status of watchStatus(node, lease, watch)) yield { step: 'status', lease, status }
}

/** What the provider will keep of the images: two names for one image count once. */
async function imageBytes(
  images: ReadonlyMap<string, { cid: Uint8Array }>,
  { blockstore, signal }: DeployOptions,
): Promise<bigint> {
  const distinct = new Map([...images.values()].map(({ cid }) => [toHex(cid), cid]))
  let bytes = 0
  for (const cid of distinct.values()) bytes += await treeBytes(blockstore, cid, signal ? { signal } : {})
  return BigInt(bytes)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
