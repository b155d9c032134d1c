/** A publisher whose account has tokens and not one wei: it deploys, adds funds, and gets all of its refund. Every part real. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { credit, readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { externalSigner, type RequestProvider } from '@trusted-pods/protocol/chain/external-signer.ts'
import { mintTestToken, tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import type { DeployEvent } from '@trusted-pods/publisher/deploy-event.ts'
import { fundLease } from '@trusted-pods/publisher/fund.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import type { Address, LocalAccount } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { CHAIN_ID } from '../../demo/chain.ts'
import { assertRefused } from '../support/assert-refused.ts'
import { readHelloManifest } from '../support/example.ts'
import { type Publisher, startPublisher, startWorld, type World } from '../support/world.ts'

const TOKENS = 5_000_000n
const TOP_UP = 250_000n

let world: World
before(async () => {
  world = await startWorld()
})
after(async () => {
  await world?.[Symbol.asyncDispose]()
})

async function poorChain(account: LocalAccount, tokens: bigint): Promise<Chain> {
  const { escrow, registry } = world.demo.chain
  const place = { chainId: CHAIN_ID, rpc: [world.demo.rpc], escrow, registry, token: world.demo.token }
  const chain = await connectChain(place, { account, pollingIntervalMs: 100 })
  await using rich = await startPublisher(world)
  await mintTestToken(rich.chain, { token: world.demo.token, to: account.address, amount: tokens })
  return chain
}

async function run(events: AsyncIterable<DeployEvent>): Promise<{ steps: string[]; lease: Lease; how: string }> {
  const steps: string[] = []
  let lease: Lease | undefined
  let how = ''
  for await (const event of events) {
    steps.push(event.step === 'channel' ? `channel ${event.lease.kind}` : event.step)
    if (event.step === 'quote') how = event.plan.funding?.how ?? ''
    if (event.step === 'status') lease = event.lease
  }
  const once = steps.filter((step, i) => step !== steps[i - 1])
  return { steps: once, lease: lease ?? assert.fail('no lease'), how }
}

async function wei(chain: Chain, address: Address): Promise<bigint> {
  return await chain.public.getBalance({ address })
}

function optionsFor(publisher: Publisher, chain: Chain) {
  return publisher.options({ chain })
}

test('zero wei: relayed by itself, topped up, stopped, and every token that was not earned is back in the wallet', async () => {
  await using publisher = await startPublisher(world)
  const account = privateKeyToAccount(generatePrivateKey())
  const chain = await poorChain(account, TOKENS)
  const { token } = world.demo
  const options = optionsFor(publisher, chain)
  const { steps, lease, how } = await run(deploy(await readHelloManifest(), await world.offer(), options))
  assert.deepEqual(steps, [
    'manifest',
    'wire',
    'attest',
    'quote',
    'channel opening',
    'channel funded',
    'provision',
    'status',
  ])
  assert.match(how, /sent by the provider at its cost: the account has 0 wei for gas/)

  const id = channelId(lease.channel.terms, lease.channel)
  const { node, leases } = options
  const funded = await fundLease(chain, lease, { amount: TOP_UP, leases, node })
  assert.equal(funded.isRelayed, true)
  assert.equal((await readChannel(chain, id))?.deposited, lease.channel.deposit + TOP_UP)
  assert.equal(funded.lease.channel.topUp, undefined)

  const signal = AbortSignal.timeout(30_000)
  for await (const { receipt, funds } of watchStatus(node, funded.lease, { follow: true, signal })) {
    assert.notEqual(receipt.kind, 'invalid')
    if (receipt.kind === 'verified' && receipt.owed > 0n && funds.left > 0n) break
  }
  const outcome = await stopLease(chain, funded.lease, { node, leases })
  assert.equal(outcome.kind, 'ended')
  assert.ok(outcome.kind === 'ended' && outcome.paid > 0n && outcome.withdrawal === undefined)
  assert.equal(await tokenBalance(chain, { token, account: account.address }), TOKENS - outcome.paid)
  assert.equal(await credit(chain, { account: account.address, token }), 0n)
  assert.equal(await wei(chain, account.address), 0n)
  assert.equal(await chain.public.getTransactionCount({ address: account.address }), 0)
})

test('a signer that keeps its key and has no gas signs, and never sends a transaction', async () => {
  await using publisher = await startPublisher(world)
  const account = privateKeyToAccount(generatePrivateKey())
  await poorChain(account, TOKENS)
  const asked: string[] = []
  const signing: RequestProvider = {
    async request({ method, params }) {
      asked.push(method)
      const [, typed] = params as [Address, string]
      return await account.signTypedData(JSON.parse(typed))
    },
  }
  const signer = externalSigner(signing, account.address)
  const { escrow, registry } = world.demo.chain
  const place = { chainId: CHAIN_ID, rpc: [world.demo.rpc], escrow, registry, token: world.demo.token }
  const chain = await connectChain(place, { account: signer, pollingIntervalMs: 100 })
  const options = optionsFor(publisher, chain)
  const { lease } = await run(deploy(await readHelloManifest(), await world.offer(), options))
  const { node, leases } = options
  await stopLease(chain, lease, { node, leases })
  assert.deepEqual([...new Set(asked)], ['eth_signTypedData_v4'])
  assert.ok((await tokenBalance(chain, { token: world.demo.token, account: account.address })) > 0n)
})

test('a provider that was killed between the opening and the pod finds the channel, and opens nothing twice', async () => {
  await using publisher = await startPublisher(world)
  const account = privateKeyToAccount(generatePrivateKey())
  const chain = await poorChain(account, TOKENS)
  const options = optionsFor(publisher, chain)
  const events = deploy(await readHelloManifest(), await world.offer(), options)
  let lease: Lease | undefined
  for await (const event of events) {
    if (event.step === 'channel' && event.lease.kind === 'opening') {
      // The request is on its way now; the transaction may or may not be.
      setTimeout(() => void world.killProvider().then(() => world.startProvider()), 400)
    }
    if (event.step === 'status') lease = event.lease
  }
  assert.ok(lease)
  const state = await readChannel(chain, channelId(lease.channel.terms, lease.channel))
  assert.equal(state?.deposited, lease.channel.deposit)
  assert.equal(
    await tokenBalance(chain, { token: world.demo.token, account: account.address }),
    TOKENS - lease.channel.deposit,
  )
  const outcome = await stopLease(chain, lease, { node: options.node, leases: options.leases })
  assert.equal(outcome.kind, 'ended')
  assert.equal(await wei(chain, account.address), 0n)
})

test('with too few tokens nothing is signed', async () => {
  await using publisher = await startPublisher(world)
  const account = privateKeyToAccount(generatePrivateKey())
  const chain = await poorChain(account, 1n)
  await assertRefused('CHANNEL_NO_FUNDS', /has 1 base units/, async () => {
    await run(deploy(await readHelloManifest(), await world.offer(), optionsFor(publisher, chain)))
  })
  assert.equal(publisher.leases.size, 0)
})
