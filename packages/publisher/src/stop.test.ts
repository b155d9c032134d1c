import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { openChannel, settleClose } from '@trusted-pods/protocol/chain/escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { signReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Receipt, UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { counters } from '@trusted-pods/protocol/pricing/price.ts'
import type { Address } from 'viem'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { type Deviations, type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { leaseFacts, provisionDraft } from '../../../test/support/lease-fixture.ts'
import { inPhase, type Lease, type LeaseFacts, type LeasePhase } from './lease.ts'
import { stopLease } from './stop.ts'

const UNLOCK_DELAY = 3600

let dev: DevChain
let chain: Chain & { token: Address }
let paid: Chain & { token: Address }
let provider: FakeProvider
let node: Libp2p
before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 10_000_000n)
  chain = await dev.connect(0)
  paid = await dev.connect(1)
  const { escrow, token, registry } = dev.config
  provider = await startFakeProvider({ escrow, token, registry, account: dev.anvil.account(1).address })
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
})
afterEach(() => {
  for (const key of Object.keys(provider.deviate)) delete provider.deviate[key as keyof Deviations]
})
after(async () => {
  await node.stop()
  await provider[Symbol.asyncDispose]()
  await dev[Symbol.asyncDispose]()
})

/** A lease of a channel on this chain, with whom to dial. */
function facts({ reachable = true } = {}): LeaseFacts {
  const base = leaseFacts({
    payer: dev.anvil.account(0).address,
    meter: provider.meter.address,
    provider: reachable ? provider.offer : { ...provider.offer, multiaddrs: ['/ip4/127.0.0.1/tcp/1'] },
    createdAt: new Date(Date.now() - 7200_000),
  })
  const terms = {
    ...base.channel.terms,
    provider: dev.anvil.account(1).address,
    token: chain.token,
    unlockDelay: UNLOCK_DELAY,
  }
  return { ...base, channel: { ...base.channel, escrow: chain.escrow, terms } }
}

async function running(options = {}): Promise<Lease> {
  const lease = facts(options)
  const { transaction } = await openChannel(chain, lease.channel.terms, { deposit: lease.channel.deposit })
  return { ...lease, kind: 'running', openTransaction: transaction }
}

/** An hour of what is reserved: 22,500 base units. */
async function receiptFor(lease: Lease, quantity = 500n): Promise<Receipt> {
  const resources = lease.resources.map((resource) => ({ ...resource, quantity }))
  const usage = create(UsageSchema, {
    podId: fromHex(lease.id) ?? new Uint8Array(),
    runningSeconds: 3600n,
    counters: counters(resources, lease.pricing, 3600n),
  })
  const { chainId, escrow, terms } = lease.channel
  return signReceipt(usage, { account: provider.meter, terms, chainId, escrow, table: lease.pricing })
}

async function advance(seconds: number): Promise<void> {
  await dev.anvil.control.increaseTime({ seconds })
  await dev.anvil.control.mine({ blocks: 1 })
}

function balance(): Promise<bigint> {
  return tokenBalance(chain, { token: chain.token, account: dev.anvil.account(0).address })
}

function parts() {
  const saved: Lease[] = []
  return { saved, options: { node, leases: { save: async (lease: Lease) => void saved.push(lease) } } }
}

test('a provider that stops, claims and lets go leaves the rest in the wallet, to the last unit', async () => {
  const start = await balance()
  const lease = await running()
  await advance(3700)
  const receipt = await receiptFor(lease)
  provider.deviate.stop = async () => {
    const { transaction } = await settleClose(paid, lease.channel.terms, { receipt })
    return { result: { case: 'settlement', value: { receipt, transaction: fromHex(transaction) ?? new Uint8Array() } } }
  }
  const { saved, options } = parts()
  const outcome = await stopLease(chain, lease, options)
  assert.ok(outcome.kind === 'ended' && outcome.paid === 22_500n && outcome.refund === 77_500n)
  assert.ok(outcome.receipt.kind === 'verified' && outcome.receipt.owed === 22_500n)
  assert.deepEqual(saved, [outcome.lease])
  assert.equal(await balance(), start - 22_500n)
})

test('a last receipt for more than was reserved is told as one that does not hold, and the refund still comes', async () => {
  const lease = await running()
  await advance(3700)
  const receipt = await receiptFor(lease, 5000n)
  provider.deviate.stop = async () => {
    await settleClose(paid, lease.channel.terms)
    return { result: { case: 'settlement', value: { receipt } } }
  }
  const outcome = await stopLease(chain, lease, parts().options)
  assert.equal(outcome.receipt.kind, 'invalid')
  assert.ok(outcome.kind === 'ended' && outcome.paid === 0n && outcome.refund === 100_000n)
})

test('a provider that is gone keeps nothing: the close is requested, and after the delay the refund comes', async () => {
  const start = await balance()
  const lease = await running({ reachable: false })
  const { saved, options } = parts()
  const waiting = await stopLease(chain, lease, options)
  assert.ok(waiting.kind === 'waiting' && saved[0]?.kind === 'closing')
  const early = await stopLease(chain, waiting.lease, options)
  assert.equal(early.kind, 'waiting')
  await advance(UNLOCK_DELAY + 1)
  const ended = await stopLease(chain, waiting.lease, options)
  assert.ok(
    ended.kind === 'ended' && ended.refund === 100_000n && ended.lease.reason === 'the provider cannot be reached',
  )
  assert.equal(await balance(), start)
})

test('a provider that refuses to stop is left behind in the same way', async () => {
  const lease = await running()
  provider.deviate.stop = () => Promise.reject(new TrustedPodsError('STATUS_UNKNOWN_POD', 'no such pod'))
  const outcome = await stopLease(chain, lease, parts().options)
  assert.ok(outcome.kind === 'waiting' && outcome.lease.reason.includes('STATUS_UNKNOWN_POD'))
})

test('a lease whose channel was never opened ends with nothing paid', async () => {
  const { saved, options } = parts()
  const lease: Lease = { ...facts(), kind: 'opening', draft: provisionDraft() }
  const outcome = await stopLease(chain, lease, options)
  assert.ok(outcome.kind === 'ended' && outcome.paid === 0n && outcome.refund === 0n)
  assert.equal(saved[0]?.kind, 'ended')
})

test('a lease whose opening still waits to be mined is not given up', async () => {
  await dev.anvil.control.setAutomine(false)
  try {
    const lease: Lease = { ...facts(), kind: 'opening', draft: provisionDraft() }
    const opening = openChannel(chain, lease.channel.terms, { deposit: lease.channel.deposit })
    const { address } = dev.anvil.account(0)
    const isPending = async () => {
      const [latest, pending] = await Promise.all(
        (['latest', 'pending'] as const).map((blockTag) => chain.public.getTransactionCount({ address, blockTag })),
      )
      return (pending ?? 0) > (latest ?? 0)
    }
    while (!(await isPending())) await new Promise((resolve) => setImmediate(resolve))
    const { saved, options } = parts()
    await assert.rejects(
      stopLease(chain, lease, options),
      (error) =>
        error instanceof TrustedPodsError &&
        error.code === 'CHANNEL_NOT_FOUND' &&
        /wait to be mined/.test(error.message),
    )
    assert.deepEqual(saved, [])
    await dev.anvil.control.mine({ blocks: 1 })
    await opening
  } finally {
    await dev.anvil.control.setAutomine(true)
  }
})

test('stopping again after a crash between close and withdrawal takes the refund once', async () => {
  const start = await balance()
  const lease = await running()
  await settleClose(paid, lease.channel.terms)
  const { options } = parts()
  const first = await stopLease(chain, lease, options)
  const second = await stopLease(chain, lease, options)
  assert.ok(first.kind === 'ended' && first.withdrawal !== undefined)
  assert.ok(second.kind === 'ended' && second.withdrawal === undefined && second.refund === 100_000n)
  assert.equal(await balance(), start)
  assert.equal((await stopLease(chain, first.lease, options)).kind, 'ended')
})

test('a chain that cannot be asked changes nothing', async () => {
  const lease = await running()
  const { saved, options } = parts()
  const deaf = await startDevChain()
  const cut = { ...(await deaf.connect(0)), escrow: chain.escrow, chainId: chain.chainId }
  await deaf.anvil.kill()
  await assert.rejects(
    stopLease(cut, lease, options),
    (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_RPC_UNAVAILABLE',
  )
  assert.deepEqual(saved, [])
})

/** A node of the same chain that has not seen what happened since its contracts were deployed. */
async function behind(): Promise<{ chain: Chain } & AsyncDisposable> {
  const node = await startDevChain()
  const lagging = await node.connect(0)
  assert.deepEqual([lagging.escrow, lagging.chainId], [chain.escrow, chain.chainId])
  return { chain: lagging, [Symbol.asyncDispose]: () => node[Symbol.asyncDispose]() }
}

function isNotKnown(message: RegExp) {
  return (error: unknown) =>
    error instanceof TrustedPodsError && error.code === 'CHANNEL_RPC_UNAVAILABLE' && message.test(error.message)
}

test('an endpoint that lags shows no channel: a lease that was paid for stays as it is, and stops at one that does not', async () => {
  await using lagging = await behind()
  const lease = await running({ reachable: false })
  assert.ok(lease.kind === 'running')
  const { openTransaction } = lease
  const phases: LeasePhase[] = [
    { kind: 'funded', draft: provisionDraft(), openTransaction },
    { kind: 'running', openTransaction },
    { kind: 'closing', closeAt: new Date(), reason: 'gone' },
  ]
  for (const phase of phases) {
    const { saved, options } = parts()
    const opened = phase.kind === 'closing' ? 'that was open' : `opened in transaction ${openTransaction}`
    const message = new RegExp(`the chain does not show the channel .*${opened}`)
    await assert.rejects(stopLease(lagging.chain, inPhase(lease, phase), options), isNotKnown(message))
    assert.deepEqual(saved, [])
  }
  assert.equal((await stopLease(chain, lease, parts().options)).kind, 'waiting')
})

test('an endpoint behind the block at which a lease was made does not end one that may have been paid', async () => {
  await using lagging = await behind()
  const base = facts()
  const sinceBlock = (await lagging.chain.public.getBlockNumber()) + 1n
  const channel = { ...base.channel, sinceBlock }
  const lease: Lease = { ...base, channel, kind: 'opening', draft: provisionDraft() }
  const { saved, options } = parts()
  await assert.rejects(
    stopLease(lagging.chain, lease, options),
    isNotKnown(/whether its channel was opened is not known/),
  )
  assert.deepEqual(saved, [])
})

test('a lease that ended as never opened is looked up again: a channel that shows later gives its money back', async () => {
  const start = await balance()
  const lease = await running({ reachable: false })
  const never = { kind: 'ended', endedAt: new Date(), paid: 0n, refund: 0n, reason: 'never opened' } as const
  const waiting = await stopLease(chain, inPhase(lease, never), parts().options)
  assert.equal(waiting.kind, 'waiting')
  await advance(UNLOCK_DELAY + 1)
  const ended = await stopLease(chain, waiting.lease, parts().options)
  assert.ok(ended.kind === 'ended' && ended.refund === 100_000n)
  assert.equal(await balance(), start)
  const { saved, options } = parts()
  assert.equal((await stopLease(chain, { ...facts(), ...never }, options)).kind, 'ended')
  assert.deepEqual(saved, [])
})

test('an endpoint that falls behind between the close and the withdrawal does not end the lease without its refund', async () => {
  await using lagging = await behind()
  const start = await balance()
  const lease = await running()
  await settleClose(paid, lease.channel.terms)
  const { simulateContract } = lagging.chain.public
  const flapping = { ...chain, public: { ...chain.public, simulateContract } } as Chain
  const { saved, options } = parts()
  await assert.rejects(stopLease(flapping, lease, options), isNotKnown(/does not show the close of the channel/))
  assert.deepEqual(saved, [])
  const ended = await stopLease(chain, lease, options)
  assert.ok(ended.kind === 'ended' && ended.withdrawal !== undefined)
  assert.equal(await balance(), start)
})

test('a last receipt below one that was seen before is told as one that does not hold', async () => {
  const lease = await running()
  await advance(3700)
  const [seen, last] = [await receiptFor(lease), await receiptFor(lease, 0n)]
  provider.deviate.stop = async () => {
    await settleClose(paid, lease.channel.terms)
    return { result: { case: 'settlement', value: { receipt: last } } }
  }
  const { options } = parts()
  const receipts = { load: async () => seen, save: () => assert.fail('a receipt that does not hold is not kept') }
  const outcome = await stopLease(chain, lease, { ...options, leases: { ...options.leases, receipts } })
  assert.ok(outcome.receipt.kind === 'invalid' && outcome.kind === 'ended' && outcome.refund === 100_000n)
})
