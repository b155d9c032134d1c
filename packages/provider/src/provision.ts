/** /trusted-pods/provision-service/0.0.1: from a sealed request to a pod in the journal, and its status until it runs. Spec: spec/PROTOCOL.md#provision. */
import { type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import type { PeerId } from '@libp2p/interface'
import { fromHex, sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import { readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { verifyAuthorization } from '@trusted-pods/protocol/channel/authorization.ts'
import {
  type ChannelState,
  checkChannel,
  checkTerms,
  type OwnPayment,
} from '@trusted-pods/protocol/channel/check-channel.ts'
import { fromProtoChannel, type OpenedChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { fromProtoFunding } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type PaymentChannel, PaymentChannelSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { ProvisionRequest, StatusUpdateSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { type HpkeKeyPair, unsealPod } from '@trusted-pods/protocol/wire/seal.ts'
import type { Caller } from '@trusted-pods/protocol/wire/serve.ts'
import type { Hex } from 'viem'
import { type Admitted, admit } from './admission.ts'
import type { Capacity, Claim } from './capacity.ts'
import type { ChainLink } from './chain-link.ts'
import type { PortRange } from './config.ts'
import { findOpening } from './deposit-watch.ts'
import type { RequireRoom } from './image-room.ts'
import type { Journal } from './journal.ts'
import type { PodKeeper } from './pod-keeper.ts'
import type { ChannelOpening, PodRow } from './pod-row.ts'
import { followStatus, type StatusParts } from './pod-status.ts'
import type { Relay } from './relay.ts'
import { refuse } from './relay-policy.ts'
import type { SessionTable } from './session.ts'

export interface ProvisionParts {
  readonly sessions: SessionTable
  readonly keyPair: HpkeKeyPair
  readonly journal: Journal
  readonly keeper: PodKeeper
  readonly capacity: Capacity
  readonly link: ChainLink
  readonly own: OwnPayment
  readonly peerId: PeerId
  readonly status: StatusParts
  readonly relay: Relay
  /** Host ports that pods may publish. */
  readonly ports: PortRange
  readonly requireRoom: RequireRoom
}

const KEY_BYTES = 16

/** A channel that pays for a pod, and what the chain said of it. */
interface Paid {
  readonly channel: OpenedChannel & { message: PaymentChannel }
  readonly state: ChannelState
  /** It was opened at our cost, for this pod. */
  readonly isRelayed: boolean
  /** Undefined: the chain did not show the transaction that opened it. */
  readonly opening: ChannelOpening | undefined
}

export async function* answerProvision(
  request: ProvisionRequest,
  { connection, signal }: Caller,
  parts: ProvisionParts,
): AsyncGenerator<MessageInitShape<typeof StatusUpdateSchema>> {
  parts.sessions.require(connection, request.session)
  const podId = await accept(request, connection.remotePeer, parts)
  parts.keeper.start(podId, connection)
  yield* followStatus(podId, parts.status, { signal, isLast: (phase) => phase === 'running' })
}

/** The id of the pod that the request made, now or when it was sent before. */
async function accept(request: ProvisionRequest, publisher: PeerId, parts: ProvisionParts): Promise<string> {
  if (request.idempotencyKey.length !== KEY_BYTES) {
    throw new TrustedPodsError(
      'PROVISION_BAD_REQUEST',
      `the idempotency key has ${request.idempotencyKey.length} bytes, ${KEY_BYTES} are wanted`,
    )
  }
  const sealed = { encapsulatedKey: request.encapsulatedKey, sealed: request.sealedPod }
  const podBytes = await unsealPod(sealed, { keyPair: parts.keyPair, session: request.session })
  const requestDigest = toHex(await sha256(podBytes))
  const repeated = findRepeated(request, { publisher, requestDigest }, parts)
  if (repeated) return repeated.podId
  const admitted = await admit(podBytes, request, publisher, {
    meter: parts.own.meter,
    peerId: parts.peerId,
    ports: parts.ports,
  })
  const asked = { podBytes, publisher, requestDigest, parts }
  // Before the channel: nobody pays, not even the gas of a relayed opening, for a pod that has no room.
  await parts.requireRoom(admitted.quote.imageBytes)
  const paid = await checkPayment(request, admitted, asked)
  try {
    return insert(request, admitted, { ...asked, paid })
  } catch (error) {
    if (paid.isRelayed) await letGo(paid, parts)
    throw error
  }
}

interface Asked {
  readonly podBytes: Uint8Array
  readonly publisher: PeerId
  readonly requestDigest: string
  readonly parts: ProvisionParts
}

function podIdOf({ terms, ...place }: OpenedChannel): string {
  return channelId(terms, place).slice(2)
}

/** What no two pods share. */
function namesOf(channel: OpenedChannel, { idempotencyKey }: ProvisionRequest, publisher: PeerId) {
  return {
    podId: podIdOf(channel),
    termsPodId: channel.terms.podId.slice(2),
    publisher: publisher.toString(),
    idempotencyKey: toHex(idempotencyKey),
  }
}

function claimOf({ quote: { id, resources, httpHosts } }: Admitted, publisher: PeerId): Claim {
  return { quoteId: toHex(id), publisher: publisher.toString(), resources, httpHosts }
}

/** Stores the pod, or finds that another stream has. */
function insert(
  request: ProvisionRequest,
  admitted: Admitted,
  { podBytes, publisher, requestDigest, parts, paid: { channel, state, opening } }: Asked & { paid: Paid },
): string {
  // Nothing is awaited here: the same request on another stream is seen or not at all.
  const meanwhile = findRepeated(request, { publisher, requestDigest }, parts)
  if (meanwhile) return meanwhile.podId
  const names = namesOf(channel, request, publisher)
  parts.journal.requireUnused(names)
  parts.capacity.admit(claimOf(admitted, publisher), Date.now())
  const devices = parts.capacity.devicesFor(admitted.pod)
  parts.journal.insert({
    ...names,
    requestDigest,
    pod: podBytes,
    quote: toBinary(SignedQuoteSchema, admitted.signedQuote),
    channel: toBinary(PaymentChannelSchema, channel.message),
    deposited: state.deposited,
    acceptedAtMs: Date.now(),
    devices,
    ...(opening && { opening }),
  })
  return names.podId
}

/** The payer has no gas to close what we opened for it. What fails is tried again with the other strays. */
async function letGo({ channel }: Paid, { relay, journal }: ProvisionParts): Promise<void> {
  // Another request has made a pod of it meanwhile.
  if (journal.pod(podIdOf(channel))) return
  await relay.release(channel.terms).catch(() => undefined)
}

/** @throws TrustedPodsError PROVISION_KEY_REUSED when the key came with another pod before. */
function findRepeated(
  { idempotencyKey }: ProvisionRequest,
  { publisher, requestDigest }: { publisher: PeerId; requestDigest: string },
  { journal }: ProvisionParts,
): PodRow | undefined {
  const row = journal.byIdempotencyKey(publisher.toString(), toHex(idempotencyKey))
  if (row && row.requestDigest !== requestDigest) {
    throw new TrustedPodsError(
      'PROVISION_KEY_REUSED',
      `this idempotency key came with another pod before: ${row.podId}`,
    )
  }
  return row
}

async function checkPayment(request: ProvisionRequest, admitted: Admitted, asked: Asked): Promise<Paid> {
  const { quote, quoteDigest } = admitted
  const { podBytes, publisher, parts } = asked
  if (!request.channel) throw new TrustedPodsError('PROVISION_BAD_REQUEST', 'the request has no payment channel')
  const channel = fromProtoChannel(request.channel)
  const id = channelId(channel.terms, channel)
  const provision = {
    chainId: channel.chainId,
    channelId: id,
    podDigest: await sha256(podBytes),
    quoteDigest,
    publisherPeer: publisher.toMultihash().bytes,
    providerPeer: parts.peerId.toMultihash().bytes,
  }
  await verifyAuthorization(request.authorization, provision, { payer: channel.terms.payer })
  const chain = parts.link.require()
  const expected = { ...channel, payment: quote.payment, token: quote.pricing.token, own: parts.own }
  let seen = await readChannel(chain, id)
  let openTransaction = channel.openTransaction
  const isRelayed = seen === undefined && request.funding !== undefined
  if (isRelayed) {
    checkTerms(expected)
    parts.journal.requireUnused(namesOf(channel, request, publisher))
    parts.capacity.requirePlace(claimOf(admitted, publisher), Date.now())
    openTransaction = (await open(request, channel, admitted, parts)) ?? openTransaction
    seen = await readChannel(chain, id)
  }
  const state = checkChannel({ ...expected, state: seen })
  const opening = await findOpening(chain, openTransaction)
  const message = { ...request.channel, openTransaction: fromHex(openTransaction) ?? new Uint8Array() }
  return { channel: { ...channel, openTransaction, message }, state, opening, isRelayed }
}

/** The payer's opening, sent at our cost once all else is certain; its transaction, where it is ours. */
async function open(
  { funding }: ProvisionRequest,
  { terms }: OpenedChannel,
  { quote: { payment } }: Admitted,
  { relay }: ProvisionParts,
): Promise<Hex | undefined> {
  if (!funding) return undefined
  const authorization = fromProtoFunding(funding)
  if (payment.relayMinDeposit === '') refuse('the quote offers to send no deposits')
  if (authorization.amount < BigInt(payment.relayMinDeposit))
    refuse(`the deposit is ${authorization.amount}, the quote sends those of ${payment.relayMinDeposit} and more`)
  return (await relay.send(terms, authorization, 'open')).transaction
}
