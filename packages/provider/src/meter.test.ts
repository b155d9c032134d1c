import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { toProtoChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { verifyReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { PaymentChannelSchema, PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { PriceKind, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { Journal } from './journal.ts'
import { Meter } from './meter.ts'
import { quoteOf } from './quoted.ts'

const account = privateKeyToAccount(generatePrivateKey())
const termsPodId = 'ab'.repeat(32)
const place = { chainId: 31_337n, escrow: ZERO_ADDRESS }
const terms = {
  payer: account.address,
  voucherSigner: ZERO_ADDRESS,
  provider: account.address,
  meter: account.address,
  token: ZERO_ADDRESS,
  ratePerHour: 3_600_000n,
  unlockDelay: 3600,
  podId: `0x${termsPodId}` as const,
}
const podId = channelId(terms, place).slice(2)
/** One base unit per millicore and second. */
const pricing = create(PricingTableSchema, {
  chainId: 31_337n,
  token: new Uint8Array(20),
  decimals: 6,
  symbol: 'USDC',
  prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '1', perQuantity: 1n, perSeconds: 1n }],
})
const resources = [{ $typeName: 'trustedpods.v0.Resource' as const, name: 'cpu', quantity: 10n, selector: '' }]

function start(deposited = 1_000_000n) {
  const journal = new Journal(':memory:')
  const quote = create(QuoteSchema, { resources, pricing, payment: create(PaymentTermsSchema) })
  journal.insert({
    podId,
    publisher: 'p',
    idempotencyKey: '00',
    requestDigest: '',
    quote: toBinary(SignedQuoteSchema, create(SignedQuoteSchema, { quote: toBinary(QuoteSchema, quote) })),
    termsPodId: terms.podId.slice(2),
    channel: toBinary(PaymentChannelSchema, toProtoChannel({ ...place, terms, openTransaction: '0x' })),
    deposited,
    acceptedAtMs: 0,
  })
  let nowMs = 5_000
  const clock = { bootId: 'boot', nowMs: () => nowMs }
  const meter = new Meter({ journal, clock, account })
  const receipt = async (atMost?: bigint) => {
    const row = journal.pod(podId) ?? assert.fail('no row')
    return meter.receipt(row, quoteOf(row), atMost === undefined ? {} : { atMost })
  }
  const pass = (ms: number) => {
    nowMs += ms
  }
  return { journal, meter, receipt, clock, pass }
}

test('only time that a beat has covered counts, in whole seconds', () => {
  const { meter, pass } = start()
  meter.start(podId)
  pass(1_999)
  assert.equal(meter.runningSeconds(podId), 0n)
  meter.beat(podId)
  assert.equal(meter.runningSeconds(podId), 1n)
  pass(1)
  meter.stop(podId)
  pass(60_000)
  meter.beat(podId)
  assert.equal(meter.runningSeconds(podId), 2n)
})

test('a gap in which nobody looked, and one in which the process was down, are not billed', () => {
  const { journal, meter, clock, pass } = start()
  meter.start(podId)
  pass(10_000)
  meter.beat(podId)
  meter.pause(podId)
  pass(100_000)
  meter.start(podId)
  pass(5_000)
  meter.beat(podId)
  assert.equal(meter.runningSeconds(podId), 15n)
  pass(100_000)
  const next = new Meter({ journal, clock, account })
  next.start(podId)
  pass(2_000)
  next.beat(podId)
  assert.equal(next.runningSeconds(podId), 17n)
})

test('a receipt is what the time costs, proven by its verifier, and never falls', async () => {
  const { meter, receipt, pass } = start()
  meter.start(podId)
  pass(7_000)
  meter.beat(podId)
  const first = await receipt()
  const { cumulative } = await verifyReceipt(first, { ...place, terms, table: pricing, resources })
  assert.equal(cumulative, 70n)
  assert.deepEqual(await receipt(), first)
  pass(1_000)
  meter.beat(podId)
  assert.equal((await receipt()).cumulative, '80')
})

test('a receipt stops at the deposit, and at the cap where one is given; the cap does not lower what is kept', async () => {
  const { journal, meter, receipt, pass } = start(50n)
  meter.start(podId)
  pass(3_000)
  meter.beat(podId)
  assert.equal((await receipt()).cumulative, '30')
  assert.equal((await receipt(20n)).cumulative, '20')
  assert.equal(journal.lastReceipt(podId)?.cumulative, 30n)
  pass(60_000)
  meter.beat(podId)
  assert.equal((await receipt()).cumulative, '50')
})
