/**
 * A provider that is asked for what it must refuse: each request goes over a real connection, with real evidence, a real quote
 * and a funded channel, wrong in one thing. At the end the right one is still accepted, once.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import { podDigest, signAuthorization } from '@trusted-pods/protocol/channel/authorization.ts'
import { channelId, toProtoTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { AttestRequestSchema, AttestResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import {
  CapacityRequestSchema,
  CapacityResponseSchema,
  QuoteSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import {
  LogMessageSchema,
  LogsRequestSchema,
  StatusRequestSchema,
  StopRequestSchema,
  StopResponseSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { EnvVarSchema, type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import {
  PodPhase,
  ProvisionRequestSchema,
  type StatusUpdate,
  StatusUpdateSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { podResources } from '@trusted-pods/protocol/manifest/resources.ts'
import { toWire } from '@trusted-pods/protocol/manifest/to-wire.ts'
import { signQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import { request, requestStream } from '@trusted-pods/protocol/wire/exchange.ts'
import { ATTEST, CAPACITY, LOGS, PROVISION, STATUS, STOP } from '@trusted-pods/protocol/wire/protocols.ts'
import { sealPod } from '@trusted-pods/protocol/wire/seal.ts'
import { type AttestedPeer, attest } from '@trusted-pods/publisher/attest.ts'
import { openChannel } from '@trusted-pods/publisher/channel.ts'
import { dial, type Peer } from '@trusted-pods/publisher/dial.ts'
import type { LeaseOf } from '@trusted-pods/publisher/lease.ts'
import { leaseProvider, type ProviderOffer } from '@trusted-pods/publisher/offer.ts'
import { channelPayer, paymentFor } from '@trusted-pods/publisher/payment.ts'
import { encodePricedPod, httpHosts } from '@trusted-pods/publisher/priced-pod.ts'
import { publishImages } from '@trusted-pods/publisher/publish-images.ts'
import { type AgreedQuote, requestQuote } from '@trusted-pods/publisher/quote.ts'
import { serveImages } from '@trusted-pods/publisher/serve-images.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { readHelloManifest } from '../support/example.ts'
import { type Publisher, startPublisher, startWorld, type World } from '../support/world.ts'

type Request = MessageInitShape<typeof ProvisionRequestSchema>

let world: World
let publisher: Publisher
let offer: ProviderOffer
let peer: Peer
let attested: AttestedPeer
let draft: Pod
let quote: AgreedQuote
let lease: LeaseOf<'funded'>
const others: Libp2p[] = []

before(async () => {
  world = await startWorld()
  publisher = await startPublisher(world)
  offer = await world.offer()
  peer = await dial(publisher.node, offer)
  attested = await attest(peer, world.policy)
  const options = publisher.options()
  const images = await publishImages(await readHelloManifest(), options)
  draft = toWire(await readHelloManifest(), { images, secrets: options.secrets })
  quote = await askQuote(draft)
  lease = await fund(draft, quote)
})
after(async () => {
  for (const node of others) await node.stop()
  await publisher?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

function askQuote(pod: Pod): Promise<AgreedQuote> {
  return requestQuote(attested, podResources(pod), { ...paymentFor(offer, publisher.chain), httpHosts: httpHosts(pod) })
}

function fund(pod: Pod, agreed: AgreedQuote): Promise<LeaseOf<'funded'>> {
  const deposit = BigInt(agreed.quote.payment.minDeposit)
  return openChannel(publisher.chain, agreed, {
    deposit,
    pod: encodePricedPod(pod, agreed),
    name: 'test',
    provider: leaseProvider(offer),
    simulated: true,
    leases: publisher.options().leases,
  })
}

interface Parts {
  pod?: Uint8Array
  lease?: LeaseOf<'funded'>
  quote?: AgreedQuote
  /** The sealing session; the request's own by default. */
  session?: Uint8Array
}

/** The right request; what is given differs. */
async function makeRequest(parts: Parts = {}): Promise<Request> {
  const { channel, draft: secret, openTransaction } = parts.lease ?? lease
  const { idempotencyKey, pod: stored } = secret.reveal()
  const pod = parts.pod ?? stored
  const agreed = parts.quote ?? quote
  const session = parts.session ?? attested.session
  const { encapsulatedKey, sealed } = await sealPod(pod, { hpkePublicKey: attested.hpkePublicKey, session })
  const tied = {
    chainId: channel.chainId,
    channelId: channelId(channel.terms, channel),
    podDigest: await podDigest(pod),
    quoteDigest: agreed.digest,
    publisherPeer: attested.publisherPeerId,
    providerPeer: attested.providerPeerId,
  }
  return {
    session,
    encapsulatedKey,
    sealedPod: sealed,
    quote: agreed.signed,
    channel: {
      chainId: channel.chainId,
      escrow: fromAddress(channel.escrow),
      terms: toProtoTerms(channel.terms),
      openTransaction: Buffer.from(openTransaction.slice(2), 'hex'),
    },
    authorization: await signAuthorization(tied, { account: channelPayer(publisher.chain) }),
    idempotencyKey,
  }
}

async function send(message: Request, on: Peer = peer): Promise<StatusUpdate[]> {
  return Array.fromAsync(
    requestStream(on.connection, PROVISION, { request: ProvisionRequestSchema, message, response: StatusUpdateSchema }),
  )
}

async function refusalOf(message: Request, on: Peer = peer): Promise<string> {
  const [first] = await send(message, on)
  assert.equal(first?.phase, PodPhase.FAILED)
  return first.refusal?.code ?? 'none'
}

function changePod(change: (pod: Pod) => unknown): Uint8Array {
  const pod = fromBinary(PodSchema, lease.draft.reveal().pod)
  change(pod)
  return toBinary(PodSchema, pod)
}

async function askEvidence(message: MessageInitShape<typeof AttestRequestSchema>) {
  return request(peer.connection, ATTEST, { request: AttestRequestSchema, message, response: AttestResponseSchema })
}

test('an attest request with a nonce of 31 bytes is ATTEST_BAD_REQUEST', async () => {
  const { result } = await askEvidence({ nonce: new Uint8Array(31), evidenceTypes: ['snp'] })
  assert.equal(result.case === 'refusal' && result.value.code, 'ATTEST_BAD_REQUEST')
})

test('evidence of no accepted type is ATTEST_UNKNOWN_EVIDENCE_TYPE', async () => {
  const { result } = await askEvidence({ nonce: new Uint8Array(32), evidenceTypes: ['sgx', 'tdx'] })
  assert.equal(result.case === 'refusal' && result.value.code, 'ATTEST_UNKNOWN_EVIDENCE_TYPE')
})

const CAPACITY_MISTAKES: [string, MessageInitShape<typeof CapacityRequestSchema>, string][] = [
  ['nothing', { resources: [] }, 'QUOTE_BAD_REQUEST'],
  ['an unknown resource', { resources: [{ name: 'quantum', quantity: 1n }] }, 'QUOTE_UNKNOWN_RESOURCE'],
  ['more than there is', { resources: [{ name: 'cpu', quantity: 1_000_000n }] }, 'QUOTE_NO_CAPACITY'],
  [
    'one resource twice',
    {
      resources: [
        { name: 'cpu', quantity: 1n },
        { name: 'cpu', quantity: 1n },
      ],
    },
    'QUOTE_BAD_REQUEST',
  ],
  ['none of a resource', { resources: [{ name: 'cpu', quantity: 0n }] }, 'QUOTE_BAD_REQUEST'],
  [
    'a host that is not served',
    { resources: [{ name: 'cpu', quantity: 1n }], httpHosts: ['bank.example'] },
    'QUOTE_BAD_REQUEST',
  ],
]
for (const [name, message, code] of CAPACITY_MISTAKES) {
  test(`asking the capacity for ${name} is ${code}`, async () => {
    const { result } = await request(peer.connection, CAPACITY, {
      request: CapacityRequestSchema,
      message,
      response: CapacityResponseSchema,
    })
    assert.equal(result.case === 'refusal' && result.value.code, code)
  })
}

test('the session of another connection is ATTEST_REQUIRED', async () => {
  await using other = await dial(await otherNode(), offer)
  assert.equal(await refusalOf(await makeRequest(), other), 'ATTEST_REQUIRED')
})

test('a pod sealed in another session does not open: PROVISION_UNSEALING_FAILED', async () => {
  const elsewhere = await makeRequest({ session: new Uint8Array(32).fill(9) })
  assert.equal(await refusalOf({ ...elsewhere, session: attested.session }), 'PROVISION_UNSEALING_FAILED')
})

test('a session that was never made is ATTEST_REQUIRED', async () => {
  assert.equal(await refusalOf(await makeRequest({ session: new Uint8Array(32).fill(9) })), 'ATTEST_REQUIRED')
})

test('an idempotency key of 15 bytes is PROVISION_BAD_REQUEST', async () => {
  assert.equal(
    await refusalOf({ ...(await makeRequest()), idempotencyKey: new Uint8Array(15) }),
    'PROVISION_BAD_REQUEST',
  )
})

const POD_MISTAKES: [string, (pod: Pod) => unknown, string][] = [
  [
    'a port below 1024 on the host',
    (pod) => Object.assign(firstPort(pod), { port: 80, httpHost: '' }),
    'PROVISION_BAD_POD',
  ],
  [
    'a mount of a volume that is not there',
    (pod) => Object.assign(firstOf(firstOf(pod.containers).mounts), { volume: 7 }),
    'PROVISION_BAD_POD',
  ],
  ['no container', (pod) => pod.containers.splice(0), 'PROVISION_BAD_POD'],
  ['two copies at least', (pod) => Object.assign(pod.replicas ?? {}, { min: 2, max: 3 }), 'PROVISION_BAD_POD'],
  ['more memory than quoted', (pod) => raise(pod, 'memory'), 'PROVISION_OVER_QUOTE'],
  [
    'a host that was not quoted',
    (pod) => Object.assign(firstPort(pod), { httpHost: 'other.localhost' }),
    'PROVISION_OVER_QUOTE',
  ],
  ['the digest of another quote', (pod) => Object.assign(pod, { quoteDigest: new Uint8Array(32) }), 'QUOTE_MISMATCH'],
  ['other prices', (pod) => Object.assign(firstOf(pod.pricing?.prices ?? []), { amount: '1' }), 'QUOTE_MISMATCH'],
]

function firstPort(pod: Pod) {
  return firstOf(pod.containers.flatMap(({ ports }) => ports))
}

function raise(pod: Pod, name: string): void {
  for (const resource of firstOf(pod.containers).resources) if (resource.name === name) resource.quantity *= 2n
}

function firstOf<T>(list: readonly T[]): T {
  return list[0] ?? assert.fail('the list is empty')
}

for (const [name, change, code] of POD_MISTAKES) {
  test(`a pod with ${name} is ${code}`, async () => {
    assert.equal(await refusalOf(await makeRequest({ pod: changePod(change) })), code)
  })
}

test('sealed bytes that are no pod are PROVISION_BAD_POD', async () => {
  assert.equal(await refusalOf(await makeRequest({ pod: new Uint8Array([0xff, 0xff, 0xff]) })), 'PROVISION_BAD_POD')
})

test('a quote that the provider’s meter did not sign is QUOTE_SIGNATURE', async () => {
  const forged = await signQuote(fromBinary(QuoteSchema, quote.signed.quote), {
    account: privateKeyToAccount(generatePrivateKey()),
  })
  assert.equal(await refusalOf({ ...(await makeRequest()), quote: forged }), 'QUOTE_SIGNATURE')
})

test('a quote of the provider’s own meter that has ended is QUOTE_EXPIRED', async () => {
  const meter = privateKeyToAccount(`0x${toHex(await readFile(join(world.places.providerState, 'keys', 'meter.key')))}`)
  const ended = create(QuoteSchema, {
    ...fromBinary(QuoteSchema, quote.signed.quote),
    expiresAtMs: BigInt(Date.now() - 1),
  })
  assert.equal(
    await refusalOf({ ...(await makeRequest()), quote: await signQuote(ended, { account: meter }) }),
    'QUOTE_EXPIRED',
  )
})

test('no quote, no channel: PROVISION_BAD_REQUEST', async () => {
  const { quote: _, ...noQuote } = await makeRequest()
  assert.equal(await refusalOf(noQuote), 'PROVISION_BAD_REQUEST')
  const { channel: __, ...noChannel } = await makeRequest()
  assert.equal(await refusalOf(noChannel), 'PROVISION_BAD_REQUEST')
})

test('an authorization by another key, or for another pod, is CHANNEL_SIGNATURE', async () => {
  const right = await makeRequest()
  const tied = {
    chainId: lease.channel.chainId,
    channelId: channelId(lease.channel.terms, lease.channel),
    podDigest: await podDigest(lease.draft.reveal().pod),
    quoteDigest: quote.digest,
    publisherPeer: attested.publisherPeerId,
    providerPeer: attested.providerPeerId,
  }
  const stranger = privateKeyToAccount(generatePrivateKey())
  assert.equal(
    await refusalOf({ ...right, authorization: await signAuthorization(tied, { account: stranger }) }),
    'CHANNEL_SIGNATURE',
  )
  const forAnother = await signAuthorization(
    { ...tied, podDigest: new Uint8Array(32) },
    { account: channelPayer(publisher.chain) },
  )
  assert.equal(await refusalOf({ ...right, authorization: forAnother }), 'CHANNEL_SIGNATURE')
})

test('a channel that was never opened is CHANNEL_NOT_FOUND; one with other terms is CHANNEL_BAD_TERMS', async () => {
  const withTerms = (change: object) => ({
    ...lease,
    channel: { ...lease.channel, terms: { ...lease.channel.terms, ...change } },
  })
  assert.equal(
    await refusalOf(await makeRequest({ lease: withTerms({ podId: `0x${'ab'.repeat(32)}` }) })),
    'CHANNEL_NOT_FOUND',
  )
  const { address } = privateKeyToAccount(generatePrivateKey())
  assert.equal(await refusalOf(await makeRequest({ lease: withTerms({ meter: address }) })), 'CHANNEL_BAD_TERMS')
  assert.equal(await refusalOf(await makeRequest({ lease: withTerms({ provider: address }) })), 'CHANNEL_BAD_TERMS')
  assert.equal(await refusalOf(await makeRequest({ lease: withTerms({ ratePerHour: 1n }) })), 'CHANNEL_BAD_TERMS')
  assert.equal(await refusalOf(await makeRequest({ lease: withTerms({ unlockDelay: 900 }) })), 'CHANNEL_BAD_TERMS')
})

test('a quote made for another publisher is QUOTE_MISMATCH', async () => {
  await using other = await dial(await otherNode(), offer)
  const theirs = await attest(other, world.policy)
  const answer = await requestQuote(theirs, podResources(draft), {
    ...paymentFor(offer, publisher.chain),
    httpHosts: [],
  })
  assert.equal(await refusalOf({ ...(await makeRequest()), quote: answer.signed }), 'QUOTE_MISMATCH')
})

test('nothing ran so far', async () => {
  assert.deepEqual(await listContainers(world.engine, { 'tp.role': 'member' }), [])
})

test('the right request, sent twice at once and once more, runs one pod; its channel and key serve no other', async () => {
  await using _ = await serveImages(publisher.node, {
    blockstore: publisher.options().blockstore,
    peerId: offer.peerId,
  })
  const [one, two] = await Promise.all([send(await makeRequest()), send(await makeRequest())])
  const again = await send(await makeRequest())
  for (const updates of [one, two, again]) {
    assert.equal(updates.at(-1)?.phase, PodPhase.RUNNING, JSON.stringify(updates.at(-1)?.refusal))
    assert.equal(Buffer.from(updates.at(-1)?.podId ?? []).toString('hex'), lease.id)
    assert.deepEqual(
      updates.map(({ sequence }) => Number(sequence)),
      updates.map((_, i) => i + 1),
    )
  }
  assert.equal((await listContainers(world.engine, { 'tp.role': 'member' })).length, 2)

  const otherPod = changePod((pod) => firstOf(pod.containers).env.push(create(EnvVarSchema, { name: 'X', value: 'y' })))
  assert.equal(await refusalOf(await makeRequest({ pod: otherPod })), 'PROVISION_KEY_REUSED')
  assert.equal(
    await refusalOf({ ...(await makeRequest()), idempotencyKey: new Uint8Array(16).fill(3) }),
    'CHANNEL_IN_USE',
  )
})

test('another publisher gets neither status nor logs nor a stop: STATUS_UNKNOWN_POD, as for a pod that does not exist', async () => {
  await using other = await dial(await otherNode(), offer)
  for (const podId of [Buffer.from(lease.id, 'hex'), new Uint8Array(32)]) {
    const [status] = await Array.fromAsync(
      requestStream(other.connection, STATUS, {
        request: StatusRequestSchema,
        message: { podId },
        response: StatusUpdateSchema,
      }),
    )
    assert.equal(status?.refusal?.code, 'STATUS_UNKNOWN_POD')
    const [log] = await Array.fromAsync(
      requestStream(other.connection, LOGS, {
        request: LogsRequestSchema,
        message: { podId },
        response: LogMessageSchema,
      }),
    )
    assert.equal(log?.result.case === 'refusal' && log.result.value.code, 'STATUS_UNKNOWN_POD')
    const stop = await request(other.connection, STOP, {
      request: StopRequestSchema,
      message: { podId },
      response: StopResponseSchema,
    })
    assert.equal(stop.result.case === 'refusal' && stop.result.value.code, 'STATUS_UNKNOWN_POD')
  }
  assert.equal((await listContainers(world.engine, { 'tp.role': 'member' })).length, 2)
})

test('logs of a container that the pod does not have are STATUS_UNKNOWN_CONTAINER', async () => {
  const message = { podId: Buffer.from(lease.id, 'hex'), container: 'nginx' }
  const [log] = await Array.fromAsync(
    requestStream(peer.connection, LOGS, { request: LogsRequestSchema, message, response: LogMessageSchema }),
  )
  assert.equal(log?.result.case === 'refusal' && log.result.value.code, 'STATUS_UNKNOWN_CONTAINER')
})

test('the host of a running pod is QUOTE_HOST_TAKEN for everybody; after the stop it is free', async () => {
  await assert.rejects(askQuote(draft), { code: 'QUOTE_HOST_TAKEN' })
  const outcome = await stopLease(publisher.chain, lease, { node: publisher.node, leases: publisher.options().leases })
  assert.equal(outcome.kind, 'ended')
  await askQuote(draft)
})

/** A node of somebody else, stopped after the tests. */
async function otherNode() {
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  others.push(node)
  return node
}
