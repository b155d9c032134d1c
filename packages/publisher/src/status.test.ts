import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { signReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Receipt, UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { ContainerState, PodPhase } from '@trusted-pods/protocol/gen/trustedpods/v0/provision_pb.ts'
import { counters } from '@trusted-pods/protocol/pricing/price.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { leaseFacts } from '../../../test/support/lease-fixture.ts'
import type { LeaseFacts, ReceiptStore } from './lease.ts'
import { readLogs } from './logs.ts'
import { watchStatus } from './status.ts'
import type { LeaseStatus } from './status-stream.ts'

let provider: FakeProvider
let node: Libp2p
let lease: LeaseFacts
let podId: Uint8Array
before(async () => {
  provider = await startFakeProvider()
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  lease = leaseFacts({
    provider: provider.offer,
    meter: provider.meter.address,
    createdAt: new Date(Date.now() - 600_000),
  })
  podId = fromHex(lease.id) ?? new Uint8Array()
})
afterEach(() => {
  for (const key of Object.keys(provider.deviate)) delete provider.deviate[key as keyof Deviations]
})
after(async () => {
  await node.stop()
  await provider[Symbol.asyncDispose]()
})

async function statuses(follow = false, receipts?: ReceiptStore): Promise<LeaseStatus[]> {
  const seen: LeaseStatus[] = []
  for await (const status of watchStatus(node, lease, { follow, ...(receipts && { receipts }) })) seen.push(status)
  return seen
}

/** A receipt of the meter over so many seconds of what is reserved. */
async function receiptFor(seconds: bigint, change: { atMost?: bigint; quantity?: bigint } = {}): Promise<Receipt> {
  const resources = lease.resources.map((resource) => ({ ...resource, quantity: change.quantity ?? resource.quantity }))
  const usage = create(UsageSchema, {
    podId,
    runningSeconds: seconds,
    counters: counters(resources, lease.pricing, seconds),
  })
  const { chainId, escrow, terms } = lease.channel
  const atMost = change.atMost === undefined ? {} : { atMost: change.atMost }
  return signReceipt(usage, { account: provider.meter, terms, chainId, escrow, table: lease.pricing, ...atMost })
}

test('a status has words for numbers, containers, endpoints, and what a verified receipt says', async () => {
  const receipt = await receiptFor(300n)
  provider.deviate.status = async function* () {
    yield {
      sequence: 1n,
      phase: PodPhase.RUNNING,
      podId,
      containers: [
        { name: 'web', state: ContainerState.RUNNING },
        { name: 'job', state: ContainerState.EXITED, exitCode: 3, restarts: 2 },
      ],
      endpoints: [{ container: 'web', targetPort: 80, url: 'http://a.example:8080', connect: '127.0.0.1:8080' }],
      receipt,
    }
  }
  const [status] = await statuses()
  assert.equal(status?.phase, 'running')
  assert.deepEqual(status?.containers, [
    { name: 'web', state: 'running', restarts: 0 },
    { name: 'job', state: 'exited', restarts: 2, exitCode: 3 },
  ])
  assert.deepEqual(status?.endpoints, [
    { container: 'web', targetPort: 80, url: 'http://a.example:8080', connect: '127.0.0.1:8080' },
  ])
  assert.ok(
    status?.receipt.kind === 'verified' && status.receipt.owed === 1875n && status.receipt.runningSeconds === 300n,
  )
})

test('a receipt for more than was reserved, or for longer than the lease is old, is shown as one that does not hold', async () => {
  for (const receipt of [await receiptFor(300n, { quantity: 5000n }), await receiptFor(100_000n)]) {
    provider.deviate.status = async function* () {
      yield { sequence: 1n, phase: PodPhase.RUNNING, podId, receipt }
    }
    const [status] = await statuses()
    assert.equal(status?.receipt.kind, 'invalid')
  }
})

/** A provider that sends one status for each of these receipts, the last of a pod that has ended. */
function sends(...receipts: readonly Receipt[]): void {
  provider.deviate.status = async function* () {
    for (const [i, receipt] of receipts.entries()) {
      const phase = i === receipts.length - 1 ? PodPhase.STOPPED : PodPhase.RUNNING
      yield { sequence: BigInt(i + 1), phase, podId, receipt }
    }
  }
}

function views(seen: readonly LeaseStatus[]): string[] {
  return seen.map(({ receipt }) => (receipt.kind === 'invalid' ? receipt.reason : receipt.kind))
}

function memoryReceipts(): ReceiptStore & { kept: Receipt[] } {
  const kept: Receipt[] = []
  return { kept, load: async () => kept.at(-1), save: async (_, receipt) => void kept.push(receipt) }
}

test('a receipt that was capped may be followed by a higher one, none by a lower or an older one', async () => {
  const capped = await receiptFor(300n, { atMost: 1000n })
  const full = await receiptFor(400n)
  sends(capped, full, full, capped, await receiptFor(500n, { atMost: 1000n }), await receiptFor(399n), full)
  const seen = views(await statuses(true))
  assert.deepEqual(seen.slice(0, 3), ['verified', 'verified', 'verified'])
  assert.match(seen[3] ?? '', /counts 300 s, the one before counted 400 s/)
  assert.match(seen[4] ?? '', /asks for 1000, the one before for 2500/)
  assert.match(seen[5] ?? '', /counts 399 s, the one before counted 400 s/)
  assert.equal(seen[6], 'verified')
})

test('a receipt that falls is noticed over a lost connection', async () => {
  const [high, low] = [await receiptFor(400n), await receiptFor(300n)]
  provider.deviate.status = async function* (_, { connection }) {
    yield { sequence: 1n, phase: PodPhase.RUNNING, podId, receipt: high }
    sends(low)
    connection.abort(new Error('lost'))
  }
  const seen = views(await statuses(true))
  assert.equal(seen[0], 'verified')
  assert.match(seen[1] ?? '', /the one before counted 400 s/)
})

test('a receipt that falls is noticed by a later run, which keeps the highest alone', async () => {
  const receipts = memoryReceipts()
  const [high, low] = [await receiptFor(400n), await receiptFor(300n)]
  sends(high, high)
  await statuses(true, receipts)
  sends(low, high)
  const seen = views(await statuses(true, receipts))
  assert.match(seen[0] ?? '', /the one before counted 400 s/)
  assert.equal(seen[1], 'verified')
  assert.deepEqual(receipts.kept, [high])
})

test('a receipt that was damaged where we keep it proves nothing against the provider', async () => {
  const receipts = memoryReceipts()
  const [high, low] = [await receiptFor(400n), await receiptFor(300n)]
  receipts.kept.push({ ...high, signature: new Uint8Array(65) })
  sends(low)
  assert.deepEqual(views(await statuses(true, receipts)), ['verified'])
  assert.deepEqual(receipts.kept.at(-1), low)
})

test('why a receipt does not hold repeats its names without what steers a terminal', async () => {
  const resource = '\u001b[9A\u001b[2Kcpu'
  const line = { ...lease.pricing.prices[0], resource }
  const table = create(PricingTableSchema, { ...lease.pricing, prices: [line] } as typeof lease.pricing)
  const usage = create(UsageSchema, { podId, runningSeconds: 1n, counters: [{ resource, value: '500' }] })
  const { chainId, escrow, terms } = lease.channel
  sends(await signReceipt(usage, { account: provider.meter, terms, chainId, escrow, table }))
  const [reason = ''] = views(await statuses(true))
  assert.match(reason, /it counts {2}\[9A \[2Kcpu, which has no price/)
})

test("text of the provider's cannot steer a terminal", async () => {
  provider.deviate.status = async function* () {
    yield { sequence: 1n, phase: PodPhase.RUNNING, podId, message: '\u001b[2Jgone\r\nnew line' }
  }
  const [status] = await statuses()
  assert.equal(status?.message, ' [2Jgone new line')
})

test('following goes over a lost connection and ends with the pod', async () => {
  provider.deviate.status = async function* (_, { connection }) {
    yield { sequence: 1n, phase: PodPhase.STARTING, podId }
    provider.deviate.status = async function* () {
      yield { sequence: 1n, phase: PodPhase.RUNNING, podId }
      const refusal = toRefusal(new TrustedPodsError('PROVISION_CONTAINER_EXITED', 'web exited with 1'))
      yield { sequence: 2n, phase: PodPhase.FAILED, podId, refusal }
    }
    connection.abort(new Error('lost'))
  }
  const seen = await statuses(true)
  assert.deepEqual(
    seen.map(({ phase }) => phase),
    ['starting', 'running', 'failed'],
  )
  assert.equal(seen.at(-1)?.failure?.code, 'PROVISION_CONTAINER_EXITED')
})

test('a refused request is no status of the pod', async () => {
  provider.deviate.status = () => {
    throw new TrustedPodsError('STATUS_UNKNOWN_POD', 'no such pod')
  }
  await assert.rejects(
    statuses(),
    (error) => error instanceof TrustedPodsError && error.code === 'STATUS_UNKNOWN_POD' && error.remote,
  )
})

test('logs go on after a lost connection without a line twice', async () => {
  const line = (timeNs: bigint, text: string, container = 'web') => ({
    result: { case: 'line' as const, value: { container, timeNs, text: new TextEncoder().encode(text) } },
  })
  provider.deviate.logs = async function* ({ connection }) {
    yield line(1n, 'one')
    yield line(2n, 'two')
    yield line(1n, 'other', 'job')
    provider.deviate.logs = async function* () {
      yield line(1n, 'one')
      yield line(2n, 'two')
      yield line(3n, 'three')
      yield line(1n, 'other', 'job')
      yield line(5n, 'more', 'job')
    }
    connection.abort(new Error('lost'))
  }
  const texts: string[] = []
  for await (const { container, text } of readLogs(node, lease, { follow: true })) {
    texts.push(`${container} ${new TextDecoder().decode(text)}`)
  }
  assert.deepEqual(texts, ['web one', 'web two', 'job other', 'web three', 'job more'])
})

test("refused logs come with the provider's code", async () => {
  provider.deviate.logs = () => {
    throw new TrustedPodsError('STATUS_UNKNOWN_CONTAINER', 'no such container')
  }
  const all = Array.fromAsync(readLogs(node, lease))
  await assert.rejects(
    all,
    (error) => error instanceof TrustedPodsError && error.code === 'STATUS_UNKNOWN_CONTAINER' && error.remote,
  )
})
