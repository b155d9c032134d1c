/** Traffic of a real container: measured, billed within its allowance, and stopped where it runs ahead of it. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { create, toBinary } from '@bufbuild/protobuf'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { toProtoChannel } from '@trusted-pods/protocol/channel/payment-channel.ts'
import { verifyReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { PaymentChannelSchema, PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PriceKind, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { ratePerHour } from '@trusted-pods/protocol/pricing/price.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { Journal } from './journal.ts'
import { Meter } from './meter.ts'
import { quoteOf } from './quoted.ts'
import { fetchText, podOf, TestRuntime, until, WAIT } from './runtime/test-runtime.ts'
import { TrafficMeter } from './traffic-meter.ts'

const box = await TestRuntime.open()
after(() => box.close())

const MIB = 2 ** 20
const METER = privateKeyToAccount(generatePrivateKey())
const SERVE = `i=0; while [ $i -lt 1024 ]; do echo "$(printf %01023d $i)"; i=$((i+1)); done > /data/mib; httpd -p 8080 -h /data; ${WAIT}`
/** One base unit a KiB, and 4 MiB an hour. */
const PRICING = create(PricingTableSchema, {
  chainId: 1n,
  token: new Uint8Array(20),
  decimals: 6,
  symbol: 'USDC',
  prices: [
    { resource: 'cpu', kind: PriceKind.RESERVE, amount: '3600', perQuantity: 1000n, perSeconds: 3600n },
    { resource: 'egress-bandwidth', kind: PriceKind.USAGE, amount: '1', perQuantity: 1024n },
  ],
})
const RESOURCES = [
  create(ResourceSchema, { name: 'cpu', quantity: 1000n }),
  create(ResourceSchema, { name: 'egress-bandwidth', quantity: BigInt(4 * MIB) }),
]

function openMeters(podId: string) {
  const terms: ChannelTerms = {
    payer: METER.address,
    voucherSigner: ZERO_ADDRESS,
    provider: METER.address,
    meter: METER.address,
    token: METER.address,
    ratePerHour: ratePerHour(PRICING, RESOURCES),
    unlockDelay: 3600,
    podId: `0x${podId}`,
  }
  const place = { chainId: 1n, escrow: METER.address }
  const channel = toProtoChannel({ ...place, terms, openTransaction: channelId(terms, place) })
  const quote = create(QuoteSchema, { resources: RESOURCES, pricing: PRICING, payment: create(PaymentTermsSchema) })
  const journal = new Journal(':memory:')
  journal.insert({
    podId,
    termsPodId: podId,
    publisher: 'p',
    idempotencyKey: podId,
    requestDigest: '',
    quote: toBinary(SignedQuoteSchema, create(SignedQuoteSchema, { quote: toBinary(QuoteSchema, quote) })),
    channel: toBinary(PaymentChannelSchema, channel),
    deposited: 10n ** 9n,
    acceptedAtMs: 0,
  })
  journal.change(podId, { phase: 'running' })
  let nowMs = 0
  const meter = new Meter({ journal, clock: { bootId: 'b', nowMs: () => nowMs }, account: METER })
  meter.start(podId)
  const log = memoryLog()
  const traffic = new TrafficMeter({ journal, runtime: box.runtime, meter, log })
  /** As a publisher checks it: what it counts of egress. */
  const billed = async () => {
    const row = journal.pod(podId) ?? assert.fail('no pod')
    const receipt = await meter.receipt(row, quoteOf(row))
    const { usage } = await verifyReceipt(receipt, { ...place, terms, table: PRICING, resources: RESOURCES })
    return Number(usage.counters.find(({ resource }) => resource === 'egress-bandwidth')?.value)
  }
  const passSeconds = (seconds: number) => {
    nowMs += seconds * 1000
    meter.beat(podId)
  }
  return { journal, traffic, billed, passSeconds, log }
}

test('what a pod sends is billed as its allowance comes, and its network is closed while it is too far ahead', {
  skip: box.skip,
}, async (t) => {
  const mounts = [{ volume: 0, mountPath: '/data', readOnly: false }]
  const pod = podOf([box.container('web', SERVE, { mounts })], [{ kind: 'volume', sizeBytes: BigInt(8 * MIB) }])
  t.after(() => box.runtime.remove(pod.podId, { volumes: true }))
  const { address } = await box.runtime.apply(pod)
  const get = () => fetchText(`http://${address}:8080/mib`)
  const { journal, traffic, billed, passSeconds, log } = openMeters(pod.podId)
  await until(() =>
    get().then(
      (text) => text.length === MIB,
      () => false,
    ),
  )
  await traffic.count(pod.podId)
  const sent = () => Number(journal.traffic.total(pod.podId).egressBytes)
  assert.ok(sent() >= MIB && sent() < 2 * MIB)
  // 450 s allow half a MiB; the rest of what was sent is billed as time goes by.
  passSeconds(450)
  assert.equal(await billed(), MIB / 2)
  // Ahead by less than 900 s allow: the network is open. By more, it is closed.
  await traffic.count(pod.podId)
  await get()
  await traffic.count(pod.podId)
  await assert.rejects(fetch(`http://${address}:8080/mib`, { signal: AbortSignal.timeout(700) }))
  assert.ok(log.entries.some(({ text }) => text === 'network of a pod closed: its allowance is used up'))
  const total = sent()
  await traffic.count(pod.podId)
  // The end of the last connection may have passed between the reading and the closing.
  assert.ok(sent() - total < 1_000)
  passSeconds(3_600)
  await traffic.count(pod.podId)
  const later = sent()
  assert.ok(later - total < 1_000)
  await get()
  assert.equal(await billed(), later)
})
