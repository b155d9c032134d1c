import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Resource, ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PriceKind, PriceSchema, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import type { OpenedQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { type AttestedPeer, attest } from './attest.ts'
import { dial, type Peer } from './dial.ts'
import { priceChanges, type RequestQuoteOptions, requestQuote } from './quote.ts'

const RESOURCES = [create(ResourceSchema, { name: 'cpu', quantity: 500n })]
const CHAIN_ID = 31_337n
const escrow = newAddress()
const token = newAddress()
const account = newAddress()
const PAYMENT = { chainId: CHAIN_ID, escrow, token, provider: account }

let provider: FakeProvider
let node: Libp2p
let peer: Peer
let attested: AttestedPeer
before(async () => {
  provider = await startFakeProvider({ escrow, token, account })
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  peer = await dial(node, provider.offer)
  attested = await attest(peer, provider.policy)
})
after(async () => {
  await peer[Symbol.asyncDispose]()
  await node.stop()
  await provider[Symbol.asyncDispose]()
})

async function ask(deviations: Deviations = {}, options: Partial<RequestQuoteOptions> = {}) {
  Object.assign(provider.deviate, deviations)
  try {
    return await requestQuote(attested, RESOURCES, { payment: PAYMENT, ...options })
  } finally {
    for (const key of Object.keys(deviations)) delete provider.deviate[key as keyof Deviations]
  }
}

async function assertRefused(code: ErrorCode, attempt: Promise<unknown>): Promise<void> {
  await assert.rejects(attempt, (error) => error instanceof TrustedPodsError && error.code === code)
}

test('an honest quote is for what was asked, until its end, at the announced prices', async () => {
  const [announced] = provider.offer.pricing
  const agreed = await ask({}, { httpHosts: ['a.example'], ...(announced && { announced }) })
  assert.deepEqual(
    agreed.quote.resources.map(({ name, quantity }) => [name, quantity]),
    [['cpu', 500n]],
  )
  assert.deepEqual(agreed.quote.httpHosts, ['a.example'])
  assert.deepEqual(agreed.priceChanges, [])
  assert.ok(agreed.expiresAt > new Date())
})

test('a quote signed by another key than the attested meter is refused', async () => {
  await assertRefused('QUOTE_SIGNATURE', ask({ quoteSigner: privateKeyToAccount(generatePrivateKey()) }))
})

test('a quote for less, more or other than was asked is refused', async () => {
  const withResources = (resources: Resource[]) => (honest: OpenedQuote) => ({
    ...honest,
    resources,
    payment: { ...honest.payment, ratePerHour: `${45 * Number(resources[0]?.quantity ?? 0)}` },
  })
  await assertRefused(
    'QUOTE_MISMATCH',
    ask({ quote: withResources([create(ResourceSchema, { name: 'cpu', quantity: 400n })]) }),
  )
  await assertRefused(
    'QUOTE_MISMATCH',
    ask({ quote: withResources([create(ResourceSchema, { name: 'cpu', quantity: 600n })]) }),
  )
  await assertRefused(
    'QUOTE_MISMATCH',
    ask({ quote: withResources([create(ResourceSchema, { name: 'cpu', quantity: 500n, selector: 'slow' })]) }),
  )
})

test('a quote for fewer bytes of images than were asked for is refused', async () => {
  const { quote } = await ask({}, { imageBytes: 1000n })
  assert.equal(quote.imageBytes, 1000n)
  const fewer = (honest: OpenedQuote) => ({ ...honest, imageBytes: honest.imageBytes - 1n })
  await assertRefused('QUOTE_MISMATCH', ask({ quote: fewer }, { imageBytes: 1000n }))
})

test('a quote that leaves out a host name is refused', async () => {
  const quote = (honest: OpenedQuote) => ({ ...honest, httpHosts: [] })
  await assertRefused('QUOTE_MISMATCH', ask({ quote }, { httpHosts: ['a.example'] }))
})

test('a quote for another publisher or by another provider is refused', async () => {
  const quote = (honest: OpenedQuote) => ({ ...honest, publisherPeerId: new Uint8Array(38).fill(1) })
  await assertRefused('QUOTE_MISMATCH', ask({ quote }))
  const other = (honest: OpenedQuote) => ({ ...honest, providerPeerId: new Uint8Array(38).fill(1) })
  await assertRefused('QUOTE_MISMATCH', ask({ quote: other }))
})

test('a quote that has ended is refused', async () => {
  const quote = (honest: OpenedQuote) => ({ ...honest, expiresAtMs: BigInt(Date.now() - 1) })
  await assertRefused('QUOTE_EXPIRED', ask({ quote }))
})

test('a quote that is to be paid elsewhere than where we pay is refused', async () => {
  await assertRefused('CHANNEL_WRONG_CHAIN', ask({}, { payment: { ...PAYMENT, chainId: 1n } }))
  for (const change of [{ escrow: newAddress() }, { token: newAddress() }, { provider: newAddress() }]) {
    await assertRefused('QUOTE_MISMATCH', ask({}, { payment: { ...PAYMENT, ...change } }))
  }
})

test('a quote that names another meter key for receipts is refused', async () => {
  const quote = (honest: OpenedQuote) => ({
    ...honest,
    payment: { ...honest.payment, meter: fromAddress(newAddress()) },
  })
  await assertRefused('QUOTE_MISMATCH', ask({ quote }))
})

test('a quote that counts other decimals than the token has is refused: its amounts would read as less', async () => {
  const quote = (honest: OpenedQuote) => ({ ...honest, pricing: { ...honest.pricing, decimals: 18 } })
  await assertRefused('QUOTE_MISMATCH', ask({ quote }, { payment: { ...PAYMENT, decimals: 6 } }))
  await ask({}, { payment: { ...PAYMENT, decimals: 6 } })
})

test('resources that only read like those that were asked for are refused', async () => {
  const memory = create(ResourceSchema, { name: 'memory', quantity: 64n })
  const merged = create(ResourceSchema, { name: 'cpu=500 memory', quantity: 64n })
  const line = create(PriceSchema, {
    resource: merged.name,
    kind: PriceKind.RESERVE,
    amount: '0',
    perQuantity: 1n,
    perSeconds: 3600n,
  })
  const quote = (honest: OpenedQuote): OpenedQuote => ({
    ...honest,
    resources: [merged],
    pricing: { ...honest.pricing, prices: [line] },
    payment: { ...honest.payment, ratePerHour: '0' },
  })
  Object.assign(provider.deviate, { quote })
  try {
    await assertRefused('QUOTE_MISMATCH', requestQuote(attested, [...RESOURCES, memory], { payment: PAYMENT }))
  } finally {
    delete provider.deviate.quote
  }
})

test('the name of a price line cannot steer the terminal on which the change is read', () => {
  const price = {
    resource: '\u001b[9A\u001b[2Kcpu',
    kind: PriceKind.RESERVE,
    amount: '1',
    perQuantity: 1n,
    perSeconds: 1n,
  }
  const none = create(PricingTableSchema, { token: new Uint8Array(20) })
  const quoted = create(PricingTableSchema, { token: new Uint8Array(20), prices: [price] })
  assert.deepEqual(priceChanges(none, quoted), [' [9A [2Kcpu was not announced'])
})

test('prices are compared by what they cost, not by how they are written', () => {
  const table = (amount: string, perQuantity: bigint, perSeconds: bigint) =>
    create(PricingTableSchema, {
      token: new Uint8Array(20),
      prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount, perQuantity, perSeconds }],
    })
  assert.deepEqual(priceChanges(table('45000', 1000n, 3600n), table('90000', 2000n, 3600n)), [])
  assert.deepEqual(priceChanges(table('45000', 1000n, 3600n), table('45001', 1000n, 3600n)), [
    'cpu is dearer than announced',
  ])
  assert.deepEqual(priceChanges(table('45000', 1000n, 3600n), table('44999', 1000n, 3600n)), [
    'cpu is cheaper than announced',
  ])
  const none = create(PricingTableSchema, { token: new Uint8Array(20) })
  assert.deepEqual(priceChanges(none, table('1', 1n, 1n)), ['cpu was not announced'])
  assert.deepEqual(priceChanges(create(PricingTableSchema), none), ['the announced prices are in another token'])
})

function newAddress() {
  return privateKeyToAccount(generatePrivateKey()).address
}
