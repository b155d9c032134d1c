/**
 * Sends the sealed pod to an attested peer and follows it until it runs. After a lost connection it attests anew and sends the
 * same request under the same idempotency key: the provider runs it once. Spec: spec/PROTOCOL.md#provision.
 */
import { podDigest, signAuthorization } from '@trusted-pods/protocol/channel/authorization.ts'
import { toProtoChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { toProtoFunding } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { ProvisionRequestSchema, StatusUpdateSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { quoteDigest } from '@trusted-pods/protocol/pricing/quote.ts'
import { requestStream } from '@trusted-pods/protocol/wire/exchange.ts'
import { PROVISION } from '@trusted-pods/protocol/wire/protocols.ts'
import { sealPod } from '@trusted-pods/protocol/wire/seal.ts'
import { isAddressEqual, type LocalAccount } from 'viem'
import { type AttestedPeer, requireAttested } from './attest.ts'
import { inPhase, type LeaseOf, type LeaseProof, type LeaseStore } from './lease.ts'
import { type ReceiptWatch, watchReceipts } from './receipt-watch.ts'
import { isLostConnection, RECONNECT_TRIES, waitBeforeTry } from './reconnect.ts'
import { type LeaseStatus, readStatuses } from './status-stream.ts'

export interface ProvisionOptions {
  /** The channel's payer: signs that this channel pays for this pod at this peer. */
  payer: LocalAccount
  leases: LeaseStore
  /** Dials and attests anew, once the connection is lost. */
  reattest(): Promise<AttestedPeer>
  /** Sees with our own eyes that the channel is open which the provider says to have opened. */
  confirmOpening(lease: LeaseOf<'opening'>): Promise<LeaseOf<'funded'>>
  signal?: AbortSignal
}

/** A channel that is open, or one that the provider opens by what its payer has signed. */
export type PayingLease = LeaseOf<'funded'> | LeaseOf<'opening'>

export type ProvisionEvent =
  /** The provider has opened the channel. */
  | { readonly step: 'channel'; readonly lease: LeaseOf<'funded'> }
  /** A status on the way to running. */
  | { readonly step: 'provision'; readonly status: LeaseStatus }
  /** The provider was lost; it is tried again after a pause. */
  | { readonly step: 'lost'; readonly error: TrustedPodsError; readonly tries: number; readonly ofTries: number }

/**
 * Each status on the way to running; returns the lease once it runs.
 * @throws TrustedPodsError with remote: the provider's refusal or the pod's failure; CHANNEL_BAD_TERMS: the peer's meter key is not
 * the one that the channel pays; WIRE_… when the provider stays away. The lease stays as it was stored.
 */
export async function* provision(
  attested: AttestedPeer,
  agreed: PayingLease,
  { payer, leases, reattest, confirmOpening, signal }: ProvisionOptions,
): AsyncGenerator<ProvisionEvent, LeaseOf<'running'>> {
  const receipts = watchReceipts(agreed, leases.receipts)
  let lease = agreed
  let peer: AttestedPeer | undefined = attested
  for (let tries = 1; ; tries++) {
    try {
      peer ??= await reattest()
      for await (const event of provisionOnce(peer, lease, { payer, receipts, ...(signal && { signal }) })) {
        if (lease.kind === 'opening') {
          lease = await confirmOpening(lease)
          yield { step: 'channel', lease }
        }
        yield event
      }
      if (lease.kind === 'opening') lease = await confirmOpening(lease)
      const proof = await proofOf(peer, lease, payer)
      const phase = { kind: 'running', openTransaction: lease.openTransaction } as const
      const running = inPhase({ ...lease, proof }, phase)
      await leases.evidence?.save(lease.id, peer.received)
      await leases.save(running)
      return running
    } catch (error) {
      if (!mayPass(error) || tries >= RECONNECT_TRIES) throw error
      if (isLostConnection(error)) peer = undefined
      yield { step: 'lost', error, tries, ofTries: RECONNECT_TRIES }
    }
    await waitBeforeTry(tries, signal ? { signal } : {})
  }
}

/** The provider's view of the chain may be a block behind ours. */
function mayPass(error: unknown): error is TrustedPodsError {
  if (!(error instanceof TrustedPodsError)) return false
  return isLostConnection(error) || (error.remote && BEHIND.has(error.code))
}

const BEHIND: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['CHANNEL_NOT_FOUND', 'CHANNEL_RPC_UNAVAILABLE'])

/** Returns when the pod runs. */
async function* provisionOnce(
  peer: AttestedPeer,
  lease: PayingLease,
  { payer, receipts, signal }: { payer: LocalAccount; receipts: ReceiptWatch; signal?: AbortSignal },
): AsyncGenerator<ProvisionEvent> {
  requireAttested(peer)
  requireSameMeter(peer, lease)
  const message = await provisionRequest(peer, lease, payer)
  const ask = { request: ProvisionRequestSchema, message, response: StatusUpdateSchema }
  const updates = requestStream(peer.connection, PROVISION, ask, signal ? { signal } : {})
  for await (const status of readStatuses(updates, lease, receipts)) {
    if (status.failure) throw status.failure
    if (status.phase === 'stopped')
      throw new TrustedPodsError('STATUS_NOT_RUNNING', 'the pod has already ended', { remote: true })
    yield { step: 'provision', status }
    if (status.phase === 'running') return
  }
  throw new TrustedPodsError('WIRE_TRUNCATED', 'the provider ended the stream before the pod ran or failed')
}

async function provisionRequest(peer: AttestedPeer, lease: PayingLease, payer: LocalAccount) {
  const { relay } = lease.channel
  const { idempotencyKey, pod, quote } = lease.draft.reveal()
  const { encapsulatedKey, sealed } = await sealPod(pod, { hpkePublicKey: peer.hpkePublicKey, session: peer.session })
  return {
    session: peer.session,
    encapsulatedKey,
    sealedPod: sealed,
    quote,
    channel: toProtoChannel({
      ...lease.channel,
      openTransaction: lease.kind === 'funded' ? lease.openTransaction : '0x',
    }),
    ...(lease.kind === 'opening' && relay && { funding: toProtoFunding(relay) }),
    authorization: await authorize(peer, lease, payer),
    idempotencyKey,
  }
}

/** What is left of the draft once its secrets are forgotten: enough to show others what was paid for. */
async function proofOf(peer: AttestedPeer, lease: PayingLease, payer: LocalAccount): Promise<LeaseProof> {
  const { pod, quote } = lease.draft.reveal()
  const authorization = await authorize(peer, lease, payer)
  return { quote, podDigest: await podDigest(pod), evidenceDigest: peer.evidenceDigest, authorization }
}

async function authorize(peer: AttestedPeer, lease: PayingLease, account: LocalAccount): Promise<Uint8Array> {
  const { pod, quote } = lease.draft.reveal()
  const { chainId, terms } = lease.channel
  const tied = {
    chainId,
    channelId: channelId(terms, lease.channel),
    podDigest: await podDigest(pod),
    quoteDigest: await quoteDigest(quote),
    publisherPeer: peer.publisherPeerId,
    providerPeer: peer.providerPeerId,
  }
  return signAuthorization(tied, { account })
}

/** A stack that was set up anew has other keys: it could not claim from this channel, and is not the one that we agreed with. */
function requireSameMeter(peer: AttestedPeer, { channel }: PayingLease): void {
  if (!isAddressEqual(peer.meter, channel.terms.meter)) {
    throw new TrustedPodsError(
      'CHANNEL_BAD_TERMS',
      `the provider's meter key is now ${peer.meter}, the channel pays by ${channel.terms.meter}`,
    )
  }
}
