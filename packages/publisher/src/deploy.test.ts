import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { parseManifest } from '@trusted-pods/protocol/manifest/parse.ts'
import type { OpenedQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import { MemoryBlockstore } from 'blockstore-core'
import type { Address } from 'viem'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { imageSource, randomTar } from '../../../test/support/image-fixture.ts'
import type { DeployOptions } from './deploy.ts'
import { deployOnFirst } from './deploy-first.ts'
import type { Lease } from './lease.ts'
import type { ProviderOffer } from './offer.ts'
import { createImagePublisher } from './publish-images.ts'

const MANIFEST = parseManifest(`
type: trustedpods
version: "1.0"
containers:
  - image: web
    resources: {cpu: 500m, memory: 64Mi}
`)

let dev: DevChain
let chain: Chain & { token: Address }
let provider: FakeProvider
let node: Libp2p
before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 10_000_000n)
  chain = await dev.connect(0)
  const { escrow, token, registry } = dev.config
  provider = await startFakeProvider({ escrow, token, registry, account: dev.anvil.account(1).address })
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
})
afterEach(() => {
  for (const key of Object.keys(provider.deviate)) delete provider.deviate[key as keyof Deviations]
  provider.provisions.length = 0
})
after(async () => {
  await node.stop()
  await provider[Symbol.asyncDispose]()
  await dev[Symbol.asyncDispose]()
})

async function run(offers: readonly ProviderOffer[], changes: Partial<DeployOptions> = {}) {
  const blockstore = new MemoryBlockstore()
  const opened: string[] = []
  const openSource = async (name: string) => {
    opened.push(name)
    return imageSource([{ tar: await randomTar(2000) }])
  }
  const saved: Lease[] = []
  const steps: string[] = []
  const passedOver: string[] = []
  const images = createImagePublisher({ openSource, blockstore, crypto: nodeStreamCrypto })
  const parts = { node, chain, policy: provider.policy, images, blockstore, secrets: new Map(), name: 'web' }
  const leases = { save: async (lease: Lease) => void saved.push(lease) }
  const deposit = { kind: 'hours', hours: 1 } as const
  const events = deployOnFirst(MANIFEST, offers, { ...parts, leases, deposit, confirm: async () => true, ...changes })
  const finish = async () => {
    for await (const event of events) {
      if (event.step === 'passed-over') passedOver.push(`${event.error.code}: ${event.error.message}`)
      if (steps.at(-1) !== event.step) steps.push(event.step)
    }
  }
  return { steps, saved, opened, passedOver, done: finish() }
}

const unreachable = (): ProviderOffer => ({ ...provider.offer, multiaddrs: ['/ip4/127.0.0.1/tcp/1'] })
const balance = () => tokenBalance(chain, { token: chain.token, account: dev.anvil.account(0).address })

test('a deployment goes through the seven steps; the pod that arrives has its image, its prices and its quote', async () => {
  const { steps, saved, done } = await run([provider.offer])
  await done
  assert.deepEqual(steps, ['manifest', 'wire', 'attest', 'quote', 'channel', 'provision', 'status'])
  assert.deepEqual(
    saved.map(({ kind }) => kind),
    ['opening', 'funded', 'running'],
  )
  const pod = fromBinary(PodSchema, provider.provisions[0]?.pod ?? new Uint8Array())
  assert.equal(pod.containers[0]?.image?.cid.length, 36)
  assert.ok((pod.containers[0]?.image?.privateKey.length ?? 0) > 0)
  assert.equal(pod.quoteDigest.length, 32)
  assert.equal(pod.pricing?.symbol, 'tUSDC')
})

test('a provider that cannot is passed over for the next, and the images are encrypted once', async () => {
  const { steps, opened, done } = await run([unreachable(), provider.offer])
  await done
  assert.deepEqual(steps.slice(0, 4), ['manifest', 'passed-over', 'manifest', 'wire'])
  assert.deepEqual(opened, ['web'])
})

test('when the last provider cannot either, its failure is the outcome and nothing was paid', async () => {
  const start = await balance()
  const { saved, done } = await run([unreachable(), unreachable()])
  await assert.rejects(done, hasCode('WIRE_DIAL_FAILED'))
  assert.deepEqual(saved, [])
  assert.equal(await balance(), start)
})

test('a plan that is not agreed to ends it: no lease, no money, nothing sealed is sent', async () => {
  const start = await balance()
  const { steps, saved, done } = await run([provider.offer, provider.offer], { confirm: async () => false })
  await done
  assert.deepEqual(steps, ['manifest', 'wire', 'attest', 'quote'])
  assert.deepEqual([saved, provider.provisions], [[], []])
  assert.equal(await balance(), start)
})

test('after the payment nobody else is tried: the lease is kept, funded', async () => {
  provider.deviate.provision = () => {
    throw new TrustedPodsError('QUOTE_NO_CAPACITY', 'full by now')
  }
  const start = await balance()
  const { saved, done } = await run([provider.offer, provider.offer])
  await assert.rejects(done, hasCode('QUOTE_NO_CAPACITY'))
  assert.deepEqual(
    saved.map(({ kind }) => kind),
    ['opening', 'funded'],
  )
  assert.equal(provider.provisions.length, 1)
  assert.equal(await balance(), start - (saved[0]?.channel.deposit ?? 0n))
})

/** Announced at 45,000 per vCPU-hour, quoted at a thousand times that. */
function dear(honest: OpenedQuote): OpenedQuote {
  const prices = honest.pricing.prices.map((price) => ({ ...price, amount: `${price.amount}000` }))
  const pricing = { ...honest.pricing, prices }
  return { ...honest, pricing, payment: { ...honest.payment, ratePerHour: `${honest.payment.ratePerHour}000` } }
}

/** Asks for a deposit that no hour of this pod costs. */
function greedy(honest: OpenedQuote): OpenedQuote {
  return { ...honest, payment: { ...honest.payment, minDeposit: '5000000' } }
}

test('nobody is asked, nothing is stored and nothing is paid for a quote above the limits', async () => {
  const start = await balance()
  const confirm = () => assert.fail('asked')
  const attempts = [
    {
      quote: dear,
      limits: { maxRatePerHour: 'announced' },
      message: /22\.5 tUSDC per hour, announced are 0\.0225 tUSDC/,
    },
    { quote: greedy, limits: { maxDeposit: 'asked' }, message: /at least 5 tUSDC, allowed are 0\.0225 tUSDC/ },
  ] as const
  for (const { quote, limits, message } of attempts) {
    provider.deviate.quote = quote
    const { steps, saved, done } = await run([provider.offer], { limits, confirm })
    await assert.rejects(done, (error) => hasCode('QUOTE_TOO_EXPENSIVE')(error) && message.test(String(error)))
    assert.deepEqual([steps.at(-1), saved], ['attest', []])
  }
  assert.equal(await balance(), start)
})

test('a provider that quotes above its announcement is passed over for the next, with the reason', async () => {
  provider.deviate.quote = (honest) => {
    delete provider.deviate.quote
    return dear(honest)
  }
  const limits = { maxRatePerHour: 'announced', maxDeposit: 'asked' } as const
  const { saved, passedOver, done } = await run([provider.offer, provider.offer], { limits })
  await done
  assert.match(passedOver.join(), /^QUOTE_TOO_EXPENSIVE: the quote is 22\.5 tUSDC per hour/)
  assert.equal(saved[0]?.channel.deposit, 22_500n)
})

test('a provider that takes more than the deposit that was chosen is passed over for the next', async () => {
  provider.deviate.quote = (honest) => {
    delete provider.deviate.quote
    return greedy(honest)
  }
  const deposit = { kind: 'amount', amount: 30_000n } as const
  const { saved, passedOver, done } = await run([provider.offer, provider.offer], { deposit })
  await done
  assert.match(passedOver.join(), /^CHANNEL_UNDERFUNDED: the deposit is 30000 base units/)
  assert.equal(saved[0]?.channel.deposit, 30_000n)
})

test('an amount is read by the decimals of the token, never by those that a quote makes up', async () => {
  provider.deviate.quote = (honest) => ({ ...honest, pricing: { ...honest.pricing, decimals: 18 } })
  const { saved, done } = await run([provider.offer])
  await assert.rejects(done, hasCode('QUOTE_MISMATCH'))
  assert.deepEqual(saved, [])
})

test('an image that is not there ends it before anybody is dialled', async () => {
  const images = {
    publish: () => Promise.reject(new TrustedPodsError('MANIFEST_IMAGE_NOT_FOUND', 'no image web')),
  }
  const { steps, done } = await run([provider.offer, provider.offer], { images })
  await assert.rejects(done, hasCode('MANIFEST_IMAGE_NOT_FOUND'))
  assert.deepEqual(steps, [])
})

function hasCode(code: string) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code
}
