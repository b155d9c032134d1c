import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { podDigest, verifyAuthorization } from '@trusted-pods/protocol/channel/authorization.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { PodPhase } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { quoteDigest } from '@trusted-pods/protocol/pricing/quote.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { fundedLease } from '../../../test/support/lease-fixture.ts'
import { attest } from './attest.ts'
import { dial, type Peer } from './dial.ts'
import type { Lease, LeaseOf } from './lease.ts'
import { provision } from './provision.ts'

const payer = privateKeyToAccount(generatePrivateKey())

let provider: FakeProvider
let node: Libp2p
const peers: Peer[] = []
before(async () => {
  provider = await startFakeProvider()
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
})
afterEach(() => {
  for (const key of Object.keys(provider.deviate)) delete provider.deviate[key as keyof Deviations]
  provider.provisions.length = 0
})
after(async () => {
  await node.stop()
  await provider[Symbol.asyncDispose]()
})

async function meet() {
  const peer = await dial(node, provider.offer)
  peers.push(peer)
  return attest(peer, provider.policy)
}

function funded(meter = provider.meter.address): LeaseOf<'funded'> {
  return fundedLease({ payer: payer.address, meter, provider: provider.offer })
}

/** Runs to the end: phases seen, leases saved, how often it attested anew. */
async function run(lease: LeaseOf<'funded'>, { signal }: { signal?: AbortSignal } = {}) {
  const phases: string[] = []
  const saved: Lease[] = []
  let reattested = 0
  const reattest = async () => {
    reattested++
    return meet()
  }
  const leases = { save: async (one: Lease) => void saved.push(one) }
  const confirmOpening = () => assert.fail('the channel is open')
  const events = provision(await meet(), lease, { payer, leases, reattest, confirmOpening, ...(signal && { signal }) })
  for (;;) {
    const next = await events.next()
    if (next.done) return { lease: next.value, phases, saved, reattested }
    const { value } = next
    if (value.step === 'provision') phases.push(value.status.phase)
    else phases.push(value.step === 'lost' ? `lost: ${value.error.code}` : value.step)
  }
}

test('the pod arrives sealed, tied by the payer to channel, quote and peers, and the lease runs without its secrets', async () => {
  const lease = funded()
  const { phases, saved, lease: running } = await run(lease)
  assert.deepEqual(phases, ['running'])
  assert.deepEqual(saved, [running])
  assert.equal(running.kind, 'running')
  const [got] = provider.provisions
  assert.ok(got)
  assert.deepEqual(got.pod, lease.draft.reveal().pod)
  const tied = {
    chainId: lease.channel.chainId,
    channelId: channelId(lease.channel.terms, lease.channel),
    podDigest: await podDigest(got.pod),
    quoteDigest: await quoteDigest(lease.draft.reveal().quote),
    publisherPeer: node.peerId.toMultihash().bytes,
    providerPeer: provider.node.peerId.toMultihash().bytes,
  }
  await verifyAuthorization(got.request.authorization, tied, { payer: payer.address })
})

test('after a lost connection it attests anew and sends the same pod under the same key, in another session', async () => {
  const lease = funded()
  provider.deviate.provision = async function* ({ channel }, _, { connection }) {
    yield { sequence: 1n, phase: PodPhase.ACCEPTED, podId: channel?.terms?.podId ?? new Uint8Array() }
    delete provider.deviate.provision
    connection.abort(new Error('the provider crashes'))
  }
  const { phases, reattested } = await run(lease)
  assert.deepEqual(phases, ['accepted', 'lost: WIRE_CLOSED', 'running'])
  assert.equal(reattested, 1)
  const [first, second] = provider.provisions
  assert.deepEqual(first?.request.idempotencyKey, second?.request.idempotencyKey)
  assert.deepEqual(first?.pod, second?.pod)
  assert.notDeepEqual(first?.request.session, second?.request.session)
})

test("a refusal ends it with the provider's code; the lease stays as it was stored", async () => {
  provider.deviate.provision = () => {
    throw new TrustedPodsError('PROVISION_OVER_QUOTE', 'too much')
  }
  await assert.rejects(run(funded()), isRemote('PROVISION_OVER_QUOTE'))
  assert.equal(provider.provisions.length, 1)
})

test('a pod that fails on its way ends it with the code of its failure', async () => {
  provider.deviate.provision = async function* ({ channel }) {
    const podId = channel?.terms?.podId ?? new Uint8Array()
    yield { sequence: 1n, phase: PodPhase.STARTING, podId }
    const refusal = toRefusal(new TrustedPodsError('PROVISION_CONTAINER_EXITED', 'web exited with 1'))
    yield { sequence: 2n, phase: PodPhase.FAILED, podId, refusal }
  }
  await assert.rejects(run(funded()), isRemote('PROVISION_CONTAINER_EXITED'))
})

test('a pod that has been stopped in the meantime is not waited for', async () => {
  provider.deviate.provision = async function* ({ channel }) {
    yield { sequence: 1n, phase: PodPhase.STOPPED, podId: channel?.terms?.podId ?? new Uint8Array() }
  }
  await assert.rejects(run(funded()), isRemote('STATUS_NOT_RUNNING'))
})

test('statuses that do not count up, or are about another pod, are refused with WIRE_MALFORMED', async () => {
  provider.deviate.provision = async function* ({ channel }) {
    yield { sequence: 2n, phase: PodPhase.ACCEPTED, podId: channel?.terms?.podId ?? new Uint8Array() }
  }
  await assert.rejects(run(funded()), isLocal('WIRE_MALFORMED'))
  provider.deviate.provision = async function* () {
    yield { sequence: 1n, phase: PodPhase.ACCEPTED, podId: new Uint8Array(32) }
  }
  await assert.rejects(run(funded()), isLocal('WIRE_MALFORMED'))
})

test('a peer with another meter key than the channel pays is sent nothing', async () => {
  await assert.rejects(run(funded(privateKeyToAccount(generatePrivateKey()).address)), isLocal('CHANNEL_BAD_TERMS'))
  assert.equal(provider.provisions.length, 0)
})

test("the user's abort ends it at once", async () => {
  const ending = new AbortController()
  provider.deviate.provision = async function* ({ channel }, _, { signal }) {
    yield { sequence: 1n, phase: PodPhase.FETCHING, podId: channel?.terms?.podId ?? new Uint8Array() }
    ending.abort(new Error('the user wants an end'))
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  }
  await assert.rejects(run(funded(), { signal: ending.signal }), /the user wants an end/)
})

function isRemote(code: string) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && error.remote
}

function isLocal(code: string) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && !error.remote
}
