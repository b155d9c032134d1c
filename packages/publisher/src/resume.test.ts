import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { QuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type Pod, PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { quoteDigest } from '@trusted-pods/protocol/pricing/quote.ts'
import { MemoryBlockstore } from 'blockstore-core'
import type { Address } from 'viem'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { type AttestedPeer, attest } from './attest.ts'
import { openChannel } from './channel.ts'
import { dial } from './dial.ts'
import { inPhase, type Lease, type LeaseOf } from './lease.ts'
import { leaseProvider } from './offer.ts'
import { paymentFor } from './payment.ts'
import { encodePricedPod } from './priced-pod.ts'
import { requestQuote } from './quote.ts'
import { resumeLease } from './resume.ts'
import { Secret } from './secret.ts'

const DEPOSIT = 50_000n
const RESOURCES = [{ $typeName: 'trustedpods.v0.Resource' as const, name: 'cpu', quantity: 500n, selector: '' }]
const POD: Pod = create(PodSchema, { containers: [{ name: 'web', resources: RESOURCES }] })

let dev: DevChain
let chain: Chain & { token: Address }
let provider: FakeProvider
let node: Libp2p
/** Kept for all set-ups: a provider takes ten new connections a second from one host. */
let setupNode: Libp2p
let setup: AttestedPeer
before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 1_000_000n)
  chain = await dev.connect(0)
  const { escrow, token, registry } = dev.config
  provider = await startFakeProvider({ escrow, token, registry, account: dev.anvil.account(1).address })
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  setupNode = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  setup = await attest(await dial(setupNode, provider.offer), provider.policy)
})
afterEach(() => {
  for (const key of Object.keys(provider.deviate)) delete provider.deviate[key as keyof Deviations]
  provider.provisions.length = 0
})
after(async () => {
  await setupNode.stop()
  await node.stop()
  await provider[Symbol.asyncDispose]()
  await dev[Symbol.asyncDispose]()
})

/** The leases that a deployment stored that was killed before it provisioned: opening, then funded. */
async function killedDeployment(): Promise<[LeaseOf<'opening'>, LeaseOf<'funded'>]> {
  const quote = await requestQuote(setup, RESOURCES, paymentFor(provider.offer, chain))
  const saved: Lease[] = []
  const funded = await openChannel(chain, quote, {
    deposit: DEPOSIT,
    pod: encodePricedPod(POD, quote),
    name: 'hello',
    provider: leaseProvider(provider.offer),
    simulated: true,
    leases: { save: async (lease) => void saved.push(lease) },
  })
  return [saved[0] as LeaseOf<'opening'>, funded]
}

async function resume(lease: Lease) {
  const saved: Lease[] = []
  const steps: string[] = []
  const leases = { save: async (one: Lease) => void saved.push(one) }
  const events = resumeLease(lease, {
    node,
    chain,
    policy: provider.policy,
    blockstore: new MemoryBlockstore(),
    leases,
  })
  for await (const { step } of events) steps.push(step)
  return { saved, steps }
}

/** The same lease, its quote ended and the provider without a pod of it. */
async function outlivedQuote(lease: LeaseOf<'funded'>): Promise<LeaseOf<'funded'>> {
  provider.deviate.status = () => {
    delete provider.deviate.status
    throw new TrustedPodsError('STATUS_UNKNOWN_POD', 'no such pod')
  }
  const { quote, pod, idempotencyKey } = lease.draft.reveal()
  const old = toBinary(QuoteSchema, { ...fromBinary(QuoteSchema, quote.quote), expiresAtMs: BigInt(Date.now() - 1) })
  return { ...lease, draft: new Secret({ idempotencyKey, pod, quote: { ...quote, quote: old } }) }
}

function balance(): Promise<bigint> {
  return tokenBalance(chain, { token: chain.token, account: dev.anvil.account(0).address })
}

test('a lease that was opening goes on to running and is not paid again', async () => {
  const [opening] = await killedDeployment()
  const before = await balance()
  const { saved, steps } = await resume(opening)
  assert.deepEqual(steps, ['channel', 'attest', 'provision', 'status'])
  assert.deepEqual(
    saved.map(({ kind }) => kind),
    ['funded', 'running'],
  )
  assert.equal(await balance(), before)
})

test('a funded lease sends the same pod under the same key as before', async () => {
  const [, funded] = await killedDeployment()
  await resume(funded)
  const { idempotencyKey, pod } = funded.draft.reveal()
  assert.deepEqual(provider.provisions[0]?.request.idempotencyKey, idempotencyKey)
  assert.deepEqual(provider.provisions[0]?.pod, pod)
})

test('a lease that outlived its quote gets a new one, under the same channel, stored before it is sent', async () => {
  const [, funded] = await killedDeployment()
  const before = await balance()
  const { saved } = await resume(await outlivedQuote(funded))
  assert.deepEqual(
    saved.map(({ kind }) => kind),
    ['funded', 'running'],
  )
  const [sent] = provider.provisions
  assert.ok(sent?.request.quote)
  assert.notDeepEqual(sent.request.quote, funded.draft.reveal().quote)
  assert.deepEqual(fromBinary(PodSchema, sent.pod).quoteDigest, await quoteDigest(sent.request.quote))
  assert.equal(await balance(), before)
})

test('a new quote that the channel does not cover is refused with QUOTE_TOO_EXPENSIVE', async () => {
  const [, funded] = await killedDeployment()
  for (const change of [{ minDeposit: `${DEPOSIT + 1n}` }, { minUnlockDelaySeconds: 7200 }]) {
    const lease = await outlivedQuote(funded)
    provider.deviate.quote = (honest) => ({ ...honest, payment: { ...honest.payment, ...change } })
    await assert.rejects(resume(lease), hasCode('QUOTE_TOO_EXPENSIVE'))
  }
  assert.equal(provider.provisions.length, 0)
})

test('a provider that already has the pod is not asked for another quote', async () => {
  const [, funded] = await killedDeployment()
  const lease = await outlivedQuote(funded)
  delete provider.deviate.status
  await resume(lease)
  assert.deepEqual(provider.provisions[0]?.request.idempotencyKey, funded.draft.reveal().idempotencyKey)
})

test('a provider that says nothing of the pod is not taken to be without it: no other quote, nothing sent', async () => {
  const [, funded] = await killedDeployment()
  const lease = await outlivedQuote(funded)
  provider.deviate.status = async function* () {}
  await assert.rejects(resume(lease), hasCode('WIRE_TRUNCATED'))
  assert.equal(provider.provisions.length, 0)
})

test('a running lease tells its status; one that is closing or has ended is refused', async () => {
  const [, funded] = await killedDeployment()
  const { openTransaction } = funded
  assert.deepEqual((await resume(inPhase(funded, { kind: 'running', openTransaction } as const))).steps, ['status'])
  const closing = inPhase(funded, { kind: 'closing', closeAt: new Date(), reason: 'gone' } as const)
  await assert.rejects(resume(closing), hasCode('STATUS_NOT_RUNNING'))
})

function hasCode(code: ErrorCode) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && !error.remote
}
