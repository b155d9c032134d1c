/** A publisher whose account has tokens and not one wei: it deploys, adds funds, and gets all of its refund. Every part real. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { signDeposit } from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { credit, readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { externalSigner, type RequestProvider } from '@trusted-pods/protocol/chain/external-signer.ts'
import { testTokenAbi } from '@trusted-pods/protocol/chain/gen/test-token.ts'
import { mintTestToken, tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { transact } from '@trusted-pods/protocol/chain/transact.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import type { ErrorCode } from '@trusted-pods/protocol/errors.ts'
import { parseManifest } from '@trusted-pods/protocol/manifest/parse.ts'
import { deploy } from '@trusted-pods/publisher/deploy.ts'
import type { DeployEvent } from '@trusted-pods/publisher/deploy-event.ts'
import { fundLease } from '@trusted-pods/publisher/fund.ts'
import type { Lease, LeaseOf } from '@trusted-pods/publisher/lease.ts'
import { resumeLease } from '@trusted-pods/publisher/resume.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import { stopLease } from '@trusted-pods/publisher/stop.ts'
import { type Address, createTestClient, encodeFunctionData, http, type LocalAccount } from 'viem'
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
  // Without a host name, which a hold would keep from the next test.
  const manifest = parseManifest(
    'type: trustedpods\nversion: "1.0"\ncontainers:\n  - image: trusted-pods/hello-sidecar:1\n',
  )
  await assertRefused('CHANNEL_NO_FUNDS', /has 1 base units/, async () => {
    await run(deploy(manifest, await world.offer(), optionsFor(publisher, chain)))
  })
  assert.equal(publisher.leases.size, 0)
})

/** A lease as a run leaves it that dies when it has signed: nobody has seen the signature. */
async function signedOnly(publisher: Publisher, chain: Chain, host = 'hello'): Promise<LeaseOf<'opening'>> {
  let lease: Lease | undefined
  const died = new Error('died')
  const leases = {
    save: async (saved: Lease) => {
      lease = saved
      throw died
    },
  }
  const options = { ...optionsFor(publisher, chain), leases, funding: 'relayed' as const }
  const manifest = await readHelloManifest((text) => text.replace('host: hello.', `host: ${host}.`))
  await assert.rejects(run(deploy(manifest, await world.offer(), options)), (error) => error === died)
  return lease?.kind === 'opening' ? lease : assert.fail('no lease was signed')
}

test('what does not pay for the pod is refused by the provider before it sends anything', async () => {
  await using publisher = await startPublisher(world)
  const account = privateKeyToAccount(generatePrivateKey())
  const chain = await poorChain(account, TOKENS)
  const lease = await signedOnly(publisher, chain)
  const { terms, deposit, relay } = lease.channel
  const nonce = () => chain.public.getTransactionCount({ address: world.demo.provider.address, blockTag: 'pending' })
  const before = await nonce()
  const refused = async (code: ErrorCode, message: RegExp, channel: Partial<LeaseOf<'opening'>['channel']>) => {
    const changed = { ...lease, channel: { ...lease.channel, ...channel } }
    await assertRefused(code, message, async () => {
      for await (const _ of resumeLease(changed, { ...optionsFor(publisher, chain), funding: 'relayed' }));
    })
  }
  const signed = (changes: Partial<typeof terms>, amount = deposit) =>
    signDeposit(chain, { ...terms, ...changes }, { amount })
  await refused('CHANNEL_RELAY_REFUSED', /the deposit is 1, the quote sends those of/, { relay: await signed({}, 1n) })
  await refused('CHANNEL_SIGNATURE', /the authorization of the deposit was signed by/, {
    relay: { ...(relay ?? assert.fail()), amount: deposit + 1n },
  })
  for (const changes of [
    { ratePerHour: terms.ratePerHour - 1n },
    { unlockDelay: 900 },
    { provider: account.address },
    { token: account.address },
  ])
    await refused('CHANNEL_BAD_TERMS', /wanted|asks for/, {
      terms: { ...terms, ...changes },
      ...(changes.token ? {} : { relay: await signed(changes) }),
    })
  // The tokens are gone once the provider looks.
  const control = createTestClient({ mode: 'anvil', transport: http(world.demo.rpc) })
  await control.setBalance({ address: account.address, value: 10n ** 18n })
  const to = world.demo.publisher.address
  const data = encodeFunctionData({ abi: testTokenAbi, functionName: 'transfer', args: [to, TOKENS] })
  await transact(chain, { to: world.demo.token, data, abi: testTokenAbi, what: 'moving the tokens away' })
  await refused('CHANNEL_NO_FUNDS', /ERC20InsufficientBalance/, {})
  assert.equal(await nonce(), before)
  assert.equal(await readChannel(chain, channelId(terms, lease.channel)), undefined)
})

test('for a pod whose place is gone nothing is sent, and its tokens stay where they are', async () => {
  await using publisher = await startPublisher(world)
  const account = privateKeyToAccount(generatePrivateKey())
  const chain = await poorChain(account, TOKENS)
  const options = { ...optionsFor(publisher, chain), funding: 'relayed' as const }
  // Both with the one host name that they ask for: the second is the same publisher's, so its quote is good.
  const [first, second] = [await signedOnly(publisher, chain, 'one'), await signedOnly(publisher, chain, 'one')]
  const { lease } = await run(resumeLease(first, options))
  const nonce = () => chain.public.getTransactionCount({ address: world.demo.provider.address, blockTag: 'pending' })
  const before = await nonce()
  await assertRefused('QUOTE_HOST_TAKEN', /in use here/, async () => {
    for await (const _ of resumeLease(second, options));
  })
  assert.equal(await nonce(), before)
  assert.equal(await readChannel(chain, channelId(second.channel.terms, second.channel)), undefined)
  await stopLease(chain, lease, { node: options.node, leases: options.leases })
})
