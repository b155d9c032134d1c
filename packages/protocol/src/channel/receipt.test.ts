import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { toHex } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { fromHex, sha256 } from '../bytes.ts'
import { ZERO_ADDRESS } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import {
  CounterSchema,
  type Receipt,
  ReceiptSchema,
  type Usage,
  UsageSchema,
} from '../gen/trustedpods/v0/payment_pb.ts'
import { PriceKind, PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { counters } from '../pricing/price.ts'
import { signReceipt, type VerifyReceiptOptions, verifyReceipt } from './receipt.ts'
import type { ChannelTerms } from './terms.ts'

const METER = privateKeyToAccount(generatePrivateKey())
const STRANGER = privateKeyToAccount(generatePrivateKey())
const POD_ID = `0x${'ab'.repeat(32)}` as const
const TERMS: ChannelTerms = {
  payer: STRANGER.address,
  voucherSigner: ZERO_ADDRESS,
  provider: STRANGER.address,
  meter: METER.address,
  token: STRANGER.address,
  ratePerHour: 46_000n,
  unlockDelay: 3600,
  podId: POD_ID,
}
const PLACE = { chainId: 31_337, escrow: STRANGER.address }
const RESOURCES = [{ name: 'cpu', quantity: 1000n, selector: '' }]
const WITH_TRAFFIC = [...RESOURCES, { name: 'egress-bandwidth', quantity: 7200n, selector: '' }]
const TABLE = create(PricingTableSchema, {
  chainId: 31_337n,
  token: new Uint8Array(20),
  decimals: 6,
  symbol: 'USDC',
  prices: [
    { resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n },
    { resource: 'egress-bandwidth', kind: PriceKind.USAGE, amount: '10', perQuantity: 1000n },
    { resource: 'start', kind: PriceKind.FLAT, amount: '1000', perQuantity: 1n },
  ],
})
const OPTIONS: VerifyReceiptOptions = { ...PLACE, terms: TERMS, table: TABLE, resources: RESOURCES }

test('a receipt is what the usage costs, and is proven by pricing it again', async () => {
  const receipt = await sign(usageAfter(3600n))
  assert.equal(receipt.cumulative, '46000')
  const { cumulative, usage } = await verifyReceipt(receipt, OPTIONS)
  assert.equal(cumulative, 46_000n)
  assert.equal(usage.runningSeconds, 3600n)
})

test('a receipt can ask for less than the usage costs, never for more', async () => {
  const capped = await sign(usageAfter(3600n), { atMost: 40_000n })
  assert.equal((await verifyReceipt(capped, OPTIONS)).cumulative, 40_000n)
  const dearer = create(PricingTableSchema, {
    ...TABLE,
    prices: TABLE.prices.map((price) => ({ ...price, amount: `${price.amount}0` })),
  })
  const greedy = await sign(usageAfter(3600n), { table: dearer })
  await assertRefused(/asks for 460000, its usage costs 46000/, greedy)
})

test('a receipt is refused by another key, another channel and another chain', async () => {
  await assertRefused(/signed by/, await sign(usageAfter(1n), { account: STRANGER }))
  await assertRefused(/another channel/, await sign(usageAfter(1n)), { chainId: 1 })
  await assertRefused(/another channel/, await sign(usageAfter(1n)), { terms: { ...TERMS, ratePerHour: 1n } })
})

test('a receipt changed in any field is refused', async () => {
  const receipt = await sign(usageAfter(3600n))
  const flipped = (bytes: Uint8Array) => bytes.map((byte, i) => (i === bytes.length - 2 ? byte ^ 1 : byte))
  const otherUsage = toBinary(UsageSchema, usageAfter(3599n))
  const changes: MessageInitShape<typeof ReceiptSchema>[] = [
    { channelId: flipped(receipt.channelId) },
    { cumulative: '46001' },
    { cumulative: '45999' },
    { cumulative: '046000' },
    { cumulative: '' },
    { cumulative: '9'.repeat(39) },
    { cumulative: '9'.repeat(100) },
    { usageHash: flipped(receipt.usageHash) },
    { signature: flipped(receipt.signature) },
    { usage: otherUsage },
    { usage: otherUsage, usageHash: await sha256(otherUsage) },
  ]
  for (const change of changes)
    await assertRefused(/./, create(ReceiptSchema, { ...receipt, ...change } as MessageInitShape<typeof ReceiptSchema>))
})

test('a receipt cut off in its usage or signature is refused', async () => {
  const receipt = await sign(usageAfter(3600n))
  for (let length = 0; length < receipt.usage.length; length++) {
    const usage = receipt.usage.slice(0, length)
    await assertRefused(/./, create(ReceiptSchema, { ...receipt, usage, usageHash: await sha256(usage) }))
  }
  for (let length = 0; length < 65; length++) {
    await assertRefused(/./, create(ReceiptSchema, { ...receipt, signature: receipt.signature.slice(0, length) }))
  }
})

test('a signed receipt over bytes that are no usage is refused', async () => {
  const usage = new Uint8Array([0xff])
  const receipt = await signBytes(usage, '0')
  await assertRefused(/are no Usage message/, receipt)
})

test('a receipt for another pod is refused', async () => {
  await assertRefused(/another pod/, await sign(create(UsageSchema, { ...usageAfter(1n), podId: new Uint8Array(32) })))
})

test('a receipt whose counters are not those of the reservation is refused', async () => {
  const usage = usageAfter(3600n)
  const inflated = create(UsageSchema, { ...usage, counters: usageAfter(7200n).counters })
  await assertRefused(/cpu counts 7200000, the reservation gives 3600000/, await sign(inflated))
  const restarted = counters(RESOURCES, TABLE, 3600n, { starts: 2n })
  await assertRefused(/start counts 2/, await sign(create(UsageSchema, { ...usage, counters: restarted })))
  const never = create(UsageSchema, { ...usage, counters: counters([], TABLE, 3600n, { starts: 0n }) })
  assert.equal(
    (await verifyReceipt(await sign(inflated), { ...PLACE, terms: TERMS, table: TABLE })).cumulative,
    91_000n,
  )
  await assertRefused(/start counts 0/, await sign(never))
})

test('a receipt that counts a line twice, or one without a price, is refused', async () => {
  const usage = usageAfter(3600n)
  const twice = create(UsageSchema, { ...usage, counters: [...usage.counters, ...usage.counters] })
  await assertRefused(/counts cpu twice/, await sign(twice))
  const unpriced = create(UsageSchema, {
    ...usage,
    counters: [create(CounterSchema, { resource: 'memory', value: '0' })],
  })
  const bytes = toBinary(UsageSchema, unpriced)
  await assertRefused(/counts memory, which has no price/, await signBytes(bytes, '0'))
})

/** After half an hour: 3600 bytes are allowed. */
function trafficOf(bytes: bigint): Usage {
  const usage = [{ name: 'egress-bandwidth', quantity: bytes, selector: '' }]
  return create(UsageSchema, { ...usageAfter(1800n), counters: counters(WITH_TRAFFIC, TABLE, 1800n, { usage }) })
}

function withEgress(usage: Usage, value: string): Usage {
  const changed = usage.counters.map((counter) =>
    counter.resource === 'egress-bandwidth' ? create(CounterSchema, { ...counter, value }) : counter,
  )
  return create(UsageSchema, { ...usage, counters: changed })
}

test('what was used is taken from the meter, which counts no more than the allowance of that time', async () => {
  const options = { ...OPTIONS, resources: WITH_TRAFFIC }
  assert.equal((await verifyReceipt(await sign(trafficOf(2_000n)), options)).cumulative, 22_500n + 1_000n + 20n)
  assert.equal((await verifyReceipt(await sign(trafficOf(10n ** 12n)), options)).cumulative, 22_500n + 1_000n + 36n)
  const greedy = withEgress(trafficOf(2_000n), '3601')
  await assertRefused(/egress-bandwidth counts 3601, the allowance gives 3600 at most/, await sign(greedy), options)
  await assertRefused(/the allowance gives 0 at most/, await sign(trafficOf(1n)))
})

test('what was used never falls, and is not left out once it was counted', async () => {
  const options = { ...OPTIONS, resources: WITH_TRAFFIC }
  const previous = await verifyReceipt(await sign(trafficOf(2_000n)), options)
  const less = withEgress(trafficOf(2_000n), '1999')
  await assertRefused(/counts 1999, the one before counted 2000/, await sign(less), { ...options, previous })
  const without = { ...less, counters: less.counters.filter(({ resource }) => resource === 'cpu') }
  await assertRefused(/counts nothing/, await sign(create(UsageSchema, without)), { ...options, previous })
})

test('a receipt for more time than has passed is refused', async () => {
  const receipt = await sign(usageAfter(3600n))
  await verifyReceipt(receipt, { ...OPTIONS, maxRunningSeconds: 3600n })
  await assertRefused(/counts 3600 s, at most 3599 s/, receipt, { maxRunningSeconds: 3599n })
})

test('a receipt that takes back time or money is refused', async () => {
  const previous = await verifyReceipt(await sign(usageAfter(3600n)), OPTIONS)
  await verifyReceipt(await sign(usageAfter(3600n)), { ...OPTIONS, previous })
  await assertRefused(/counts 3599 s, the one before counted 3600 s/, await sign(usageAfter(3599n)), { previous })
  await assertRefused(/asks for 1, the one before for 46000/, await sign(usageAfter(3601n), { atMost: 1n }), {
    previous,
  })
})

function usageAfter(runningSeconds: bigint): Usage {
  return create(UsageSchema, {
    podId: fromHex(POD_ID) ?? new Uint8Array(),
    counters: counters(RESOURCES, TABLE, runningSeconds),
    runningSeconds,
    readAtMs: 1n,
  })
}

function sign(usage: Usage, change: Partial<Parameters<typeof signReceipt>[1]> = {}): Promise<Receipt> {
  return signReceipt(usage, { ...PLACE, account: METER, terms: TERMS, table: TABLE, ...change })
}

/** A receipt by the meter key over bytes that signReceipt would never make. */
async function signBytes(usage: Uint8Array, cumulative: string): Promise<Receipt> {
  const { channelId } = await sign(usageAfter(1n))
  const usageHash = await sha256(usage)
  const signature = await METER.signTypedData({
    domain: { name: 'Trusted Pods Escrow', version: '1', chainId: 31_337n, verifyingContract: PLACE.escrow },
    types: {
      Receipt: [
        { name: 'channelId', type: 'bytes32' },
        { name: 'cumulative', type: 'uint128' },
        { name: 'usageHash', type: 'bytes32' },
      ],
    },
    primaryType: 'Receipt',
    message: { channelId: toHex(channelId), cumulative: BigInt(cumulative), usageHash: toHex(usageHash) },
  })
  return create(ReceiptSchema, {
    channelId,
    cumulative,
    usageHash,
    usage,
    signature: fromHex(signature) ?? new Uint8Array(),
  })
}

async function assertRefused(
  message: RegExp,
  receipt: Receipt,
  change: Partial<VerifyReceiptOptions> = {},
): Promise<void> {
  await assert.rejects(verifyReceipt(receipt, { ...OPTIONS, ...change }), (error) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, 'CHANNEL_RECEIPT_INVALID')
    assert.match(error.message, message)
    return true
  })
}
