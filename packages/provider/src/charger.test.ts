/** The provider's money on a real chain, with a boot clock that the test moves. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { fromAddress, ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import {
  credit,
  openChannel,
  readChannel,
  requestClose,
  settleClose,
  topUp,
} from '@trusted-pods/protocol/chain/escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { toProtoChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { PaymentChannelSchema, PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PriceKind, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { toHex } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../test/support/faulty-rpc.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { Changes } from './changes.ts'
import { Charger } from './charger.ts'
import { Journal } from './journal.ts'
import { Meter } from './meter.ts'

const METER = privateKeyToAccount(generatePrivateKey())
/** 36 base units a second. */
const RATE = 129_600n
const DEPOSIT = 100_000n
const GRACE_MS = 60_000

let dev: DevChain
let payer: Chain & { token: `0x${string}` }
let provider: Chain & { token: `0x${string}` }

before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 100n * DEPOSIT)
  payer = await dev.connect(0)
  provider = await dev.connect(1)
})
after(() => dev[Symbol.asyncDispose]())

/** A running pod with a funded channel; `pass` lets time go by on the boot clock and on the chain. */
async function startPod({ chain = provider as Chain } = {}) {
  const terms: ChannelTerms = {
    payer: dev.anvil.account(0).address,
    voucherSigner: ZERO_ADDRESS,
    provider: dev.anvil.account(1).address,
    meter: METER.address,
    token: dev.config.token,
    ratePerHour: RATE,
    unlockDelay: 3600,
    podId: toHex(crypto.getRandomValues(new Uint8Array(32))),
  }
  const place = { chainId: BigInt(payer.chainId), escrow: payer.escrow }
  const podId = channelId(terms, place).slice(2)
  const { transaction } = await openChannel(payer, terms, { deposit: DEPOSIT })
  const pricing = create(PricingTableSchema, {
    chainId: BigInt(payer.chainId),
    token: fromAddress(dev.config.token),
    decimals: 6,
    symbol: 'tUSDC',
    prices: [
      { resource: 'cpu', kind: PriceKind.RESERVE, amount: RATE.toString(), perQuantity: 1000n, perSeconds: 3600n },
    ],
  })
  const resources = [create(ResourceSchema, { name: 'cpu', quantity: 1000n })]
  const quote = create(QuoteSchema, { resources, pricing, payment: create(PaymentTermsSchema) })
  const journal = new Journal(':memory:')
  journal.insert({
    podId,
    publisher: 'p',
    idempotencyKey: '00',
    requestDigest: '',
    quote: toBinary(SignedQuoteSchema, create(SignedQuoteSchema, { quote: toBinary(QuoteSchema, quote) })),
    termsPodId: terms.podId.slice(2),
    channel: toBinary(PaymentChannelSchema, toProtoChannel({ ...place, terms, openTransaction: transaction })),
    deposited: DEPOSIT,
    acceptedAtMs: 0,
  })
  journal.change(podId, { phase: 'running' })
  let nowMs = 0
  const meter = new Meter({ journal, clock: { bootId: 'b', nowMs: () => nowMs }, account: METER })
  meter.start(podId)
  const log = memoryLog()
  const charger = new Charger({
    journal,
    meter,
    chain,
    changes: new Changes(),
    log,
    claimAtLeast: 1_000n,
    fundsGraceMs: GRACE_MS,
  })
  const pass = async (seconds: number) => {
    nowMs += seconds * 1000
    meter.beat(podId)
    await dev.anvil.control.increaseTime({ seconds })
    await dev.anvil.control.mine({ blocks: 1 })
  }
  const state = async () => (await readChannel(payer, channelId(terms, place))) ?? assert.fail('no channel')
  return { podId, terms, journal, meter, charger, log, pass, state }
}

/** What the provider has, in its wallet and in the escrow's ledger. */
async function earned(): Promise<bigint> {
  const of = { token: dev.config.token, account: dev.anvil.account(1).address }
  return (await tokenBalance(payer, of)) + (await credit(payer, of))
}

test('nothing is claimed below the threshold; above it, what is owed, and once', async () => {
  const { podId, charger, pass, state } = await startPod()
  await pass(10)
  assert.deepEqual(await charger.review(podId), { kind: 'go-on' })
  assert.equal((await state()).claimed, 0n)
  await pass(90)
  await charger.review(podId)
  assert.equal((await state()).claimed, 3_600n)
  await charger.review(podId)
  assert.equal((await state()).claimed, 3_600n)
})

test('settling claims the rest, closes the channel, and leaves the refund to the payer', async () => {
  const before = await earned()
  const { podId, journal, charger, meter, pass, state } = await startPod()
  await pass(5)
  meter.stop(podId)
  journal.change(podId, { phase: 'stopped' })
  await charger.settle(podId)
  const { claimed, closed } = await state()
  assert.deepEqual([claimed, closed], [180n, true])
  assert.equal((await earned()) - before, 180n)
  assert.match(journal.pod(podId)?.settlement ?? '', /^0x[0-9a-f]{64}$/)
  await charger.settle(podId)
  assert.equal((await earned()) - before, 180n)
})

test('a close request of the payer is claimed at once, whatever the threshold, and ends the pod', async () => {
  const { podId, terms, charger, pass, state } = await startPod()
  await pass(10)
  await requestClose(payer, terms)
  const verdict = await charger.review(podId)
  assert.equal(verdict.kind === 'end' && verdict.code, 'close-requested')
  assert.equal((await state()).claimed, 360n)
})

test('a deposit that is used up ends the pod after the grace, and a top-up within it does not', async (t) => {
  const { podId, terms, journal, charger, pass } = await startPod()
  await pass(3_000)
  assert.deepEqual(await charger.review(podId), { kind: 'go-on' })
  assert.ok(journal.pod(podId)?.shortOfFundsAtMs !== undefined)
  await topUp(payer, terms, { deposit: DEPOSIT })
  assert.deepEqual(await charger.review(podId), { kind: 'go-on' })
  assert.equal(journal.pod(podId)?.shortOfFundsAtMs, undefined)
  await pass(3_000)
  await charger.review(podId)
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + GRACE_MS + 1 })
  const verdict = await charger.review(podId)
  assert.equal(verdict.kind === 'end' && verdict.code, 'funds-exhausted')
})

test('a channel that is closed ends the pod', async () => {
  const { podId, terms, charger } = await startPod()
  await settleClose(provider, terms)
  const verdict = await charger.review(podId)
  assert.equal(verdict.kind === 'end' && verdict.code, 'channel-closed')
})

for (const fault of ['status-500', 'truncated', 'not-json', 'hang-up'] as const) {
  test(`an RPC endpoint that answers with ${fault} ends no pod and loses no claim`, async () => {
    await using proxy = await startFaultyRpc(dev.anvil.rpc)
    const chain = await connectChain(
      { ...dev.config, rpc: [proxy.rpc] },
      { account: dev.anvil.account(1), pollingIntervalMs: 20 },
    )
    const { podId, journal, charger, meter, pass, state } = await startPod({ chain })
    await pass(100)
    proxy.fail(fault)
    assert.deepEqual(await charger.review(podId), { kind: 'go-on' })
    assert.equal(journal.pod(podId)?.phase, 'running')
    meter.stop(podId)
    journal.change(podId, { phase: 'stopped' })
    await charger.settle(podId)
    assert.equal(journal.pod(podId)?.settlement, undefined)
    proxy.fail('pass')
    await charger.settle(podId)
    assert.deepEqual([(await state()).claimed, (await state()).closed], [3_600n, true])
  })
}
