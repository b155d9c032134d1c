import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Evidence, EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { type AttestedPeer, type AttestOptions, attest, refusedVerdict, requireAttested } from './attest.ts'
import { dial, type Peer } from './dial.ts'
import { type ProvisionOptions, provision } from './provision.ts'
import { capacityRequest } from './quote.ts'

let provider: FakeProvider
let node: Libp2p
let peer: Peer
before(async () => {
  provider = await startFakeProvider()
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  peer = await dial(node, provider.offer)
})
after(async () => {
  await peer[Symbol.asyncDispose]()
  await node.stop()
  await provider[Symbol.asyncDispose]()
})

async function attestWith(
  deviations: Deviations,
  { policy = provider.policy, ...options }: AttestOptions & { policy?: typeof provider.policy } = {},
) {
  Object.assign(provider.deviate, deviations)
  try {
    return await attest(peer, policy, options)
  } finally {
    for (const key of Object.keys(deviations)) delete provider.deviate[key as keyof Deviations]
  }
}

async function refusalOf(attempt: Promise<unknown>): Promise<TrustedPodsError> {
  const error = await attempt.then(
    () => assert.fail('it was accepted'),
    (thrown: unknown) => thrown,
  )
  return error instanceof TrustedPodsError ? error : assert.fail(String(error))
}

async function assertRefused(code: ErrorCode, attempt: Promise<unknown>): Promise<TrustedPodsError> {
  const error = await refusalOf(attempt)
  assert.equal(error.code, code, error.message)
  return error
}

test('an accepted peer holds the keys of its statement, the session and the verdict', async () => {
  const attested = await attestWith({})
  assert.equal(attested.meter, provider.meter.address)
  assert.equal(attested.hpkePublicKey.length, 32)
  assert.equal(attested.session.length, 32)
  assert.deepEqual(attested.providerPeerId, provider.node.peerId.toMultihash().bytes)
  assert.deepEqual(attested.publisherPeerId, node.peerId.toMultihash().bytes)
  assert.equal(attested.verdict.simulated, true)
  requireAttested(attested)
})

test('two attestations are two sessions', async () => {
  assert.notDeepEqual((await attestWith({})).session, (await attestWith({})).session)
})

test('evidence of a root that the policy does not name is refused, and the verdict tells why', async () => {
  const policy = { ...provider.policy, simulatedRoots: ['11'.repeat(32)] }
  const error = await assertRefused('ATTEST_REFUSED', attestWith({}, { policy }))
  assert.equal(error.remote, false)
  const codes = refusedVerdict(error)
    ?.checks.filter(({ tier }) => tier === 'contraindicated')
    .map(({ code }) => code)
  assert.ok(codes?.includes('chain.untrusted-root'), String(codes))
})

test('a policy that does not tolerate simulation refuses it', async () => {
  const policy = { ...provider.policy, allow: [] }
  await assertRefused('ATTEST_REFUSED', attestWith({}, { policy }))
})

test('evidence that answered another nonce is refused', async () => {
  let first: Evidence | undefined
  await attestWith({ evidence: (honest) => (first = honest) })
  const error = await assertRefused('ATTEST_REFUSED', attestWith({ evidence: () => first ?? assert.fail() }))
  assert.match(error.message, /binding\.nonce/)
})

test('evidence made for another publisher is refused', async () => {
  const change = (honest: Evidence) =>
    create(EvidenceSchema, {
      ...honest,
      ...(honest.statement && {
        statement: { ...honest.statement, publisherPeerId: provider.node.peerId.toMultihash().bytes },
      }),
    })
  const error = await assertRefused('ATTEST_REFUSED', attestWith({ evidence: change }))
  assert.match(error.message, /binding\.publisher/)
})

test('evidence of another provider, replayed here, is refused', async () => {
  const change = (honest: Evidence) =>
    create(EvidenceSchema, {
      ...honest,
      ...(honest.statement && { statement: { ...honest.statement, providerPeerId: node.peerId.toMultihash().bytes } }),
    })
  const error = await assertRefused('ATTEST_REFUSED', attestWith({ evidence: change }))
  assert.match(error.message, /binding\.provider/)
})

test('a key exchanged under the evidence is refused: the report commits to another statement', async () => {
  const change = (honest: Evidence) =>
    create(EvidenceSchema, {
      ...honest,
      ...(honest.statement && { statement: { ...honest.statement, hpkePublicKey: new Uint8Array(32).fill(9) } }),
    })
  const error = await assertRefused('ATTEST_REFUSED', attestWith({ evidence: change }))
  assert.match(error.message, /binding\.report-data/)
})

test('a capacity request that is not answered with the evidence is refused', async () => {
  const capacity = capacityRequest([])
  await assertRefused('ATTEST_EVIDENCE_MALFORMED', attestWith({}, { capacity }))
})

test('an answer that holds neither evidence nor a refusal is refused', async () => {
  const error = await assertRefused('ATTEST_REFUSED', attestWith({ evidence: () => create(EvidenceSchema) }))
  assert.equal(refusedVerdict(error)?.tier === 'affirming', false)
})

test("the provider's own refusal comes as its word", async () => {
  const attestRefusal = toRefusal(new TrustedPodsError('ATTEST_UNAVAILABLE', 'no hardware'))
  const error = await assertRefused('ATTEST_UNAVAILABLE', attestWith({ attestRefusal }))
  assert.equal(error.remote, true)
  assert.equal(refusedVerdict(error), undefined)
})

test('a peer that was not attested is not taken by provision: neither by the compiler nor at run time', async () => {
  const forged = { ...(await attestWith({})) }
  const lease = {} as Parameters<typeof provision>[1]
  const options = {} as ProvisionOptions
  // @ts-expect-error a connection is no AttestedPeer
  provision(peer, lease, options)
  // @ts-expect-error all its fields do not make an AttestedPeer
  provision(forged, lease, options)
  assert.throws(() => requireAttested(forged as unknown as AttestedPeer), TypeError)
})
