import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { type Chain, connectChain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { depositCall } from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { mintTestToken, tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { transact } from '@trusted-pods/protocol/chain/transact.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { fromProtoFunding } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import { type Address, encodeFunctionData, hexToBytes, parseAbi } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { type FakeProvider, startFakeProvider } from '../../../test/support/fake-provider.ts'
import { type AttestedPeer, attest } from './attest.ts'
import { dial } from './dial.ts'
import { fundLease } from './fund.ts'
import { chooseFunding } from './funding.ts'
import type { Lease, LeaseOf } from './lease.ts'
import { leaseFromJson, leaseToJson } from './lease-json.ts'
import { leaseProvider } from './offer.ts'
import { paymentFor } from './payment.ts'
import { requestQuote } from './quote.ts'
import { authorizeOpening, confirmOpening, takeUpOpening } from './relayed-opening.ts'
import { stopLease } from './stop.ts'

const DEPOSIT = 50_000n
const COIN = 10n ** 18n
const RESOURCES = [{ $typeName: 'trustedpods.v0.Resource' as const, name: 'cpu', quantity: 500n, selector: '' }]

let dev: DevChain
let provider: FakeProvider
let node: Libp2p
let attested: AttestedPeer
/** Sends what others have signed. */
let relayer: Chain
/** Has tokens, and not one wei. */
let payer: Chain & { token: Address }
let saved: Lease[]
const leases = { save: async (lease: Lease) => void saved.push(lease) }
before(async () => {
  dev = await startDevChain()
  relayer = await dev.connect(1)
  const { escrow, token, registry } = dev.config
  provider = await startFakeProvider({ escrow, token, registry, account: dev.anvil.account(1).address })
  node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  attested = await attest(await dial(node, provider.offer), provider.policy)
})
beforeEach(async () => {
  saved = []
  const account = privateKeyToAccount(generatePrivateKey())
  payer = { ...(await connectChain(dev.config, { account, pollingIntervalMs: 20 })), token: dev.config.token }
  await mintTestToken(relayer, { token: payer.token, to: account.address, amount: 10n * DEPOSIT })
})
after(async () => {
  await node.stop()
  await provider[Symbol.asyncDispose]()
  await dev[Symbol.asyncDispose]()
})

async function authorized(): Promise<LeaseOf<'opening'>> {
  const quote = await requestQuote(attested, RESOURCES, paymentFor(provider.offer, payer))
  return await authorizeOpening(payer, quote, {
    deposit: DEPOSIT,
    pod: new Uint8Array([1]),
    name: 'hello',
    provider: leaseProvider(provider.offer),
    simulated: true,
    leases,
  })
}

const stateOf = ({ channel }: Lease) => readChannel(payer, channelId(channel.terms, channel))
const balance = () => tokenBalance(payer, { token: payer.token, account: requireWallet(payer).account.address })

async function relay({ channel: { terms, relay } }: Lease): Promise<void> {
  await transact(relayer, depositCall(relayer, terms, relay ?? assert.fail('nothing is signed')))
}

async function giveGas(): Promise<void> {
  await dev.anvil.control.setBalance({ address: requireWallet(payer).account.address, value: COIN })
}

async function passAuthorization(): Promise<void> {
  await dev.anvil.control.increaseTime({ seconds: 1000 })
  await dev.anvil.control.mine({ blocks: 1 })
}

test('what was signed is stored before anybody has it, and survives the file', async () => {
  const lease = await authorized()
  assert.deepEqual(saved, [lease])
  const read = leaseFromJson(leaseToJson(lease))
  assert.deepEqual(read.channel, lease.channel)
  assert.equal(await stateOf(lease), undefined)
})

test('once the channel shows it is funded, and the nonce of whoever sent it is not taken for the payer’s', async () => {
  const lease = await authorized()
  await assertRefused('CHANNEL_RPC_UNAVAILABLE', /has not shown the channel/, () =>
    confirmOpening(payer, lease, { leases, withinMs: 0 }),
  )
  await relay(lease)
  const funded = await confirmOpening(payer, lease, { leases })
  assert.equal(funded.kind, 'funded')
  assert.equal(funded.channel.opening?.transaction, funded.openTransaction)
  assert.equal(funded.channel.opening?.nonce, undefined)
  assert.deepEqual(leaseFromJson(leaseToJson(funded)).channel, funded.channel)
})

test('taken up, it stays the same signed opening until that is over; then another is signed, and one of both can come in', async () => {
  const lease = await authorized()
  assert.deepEqual(await takeUpOpening(payer, lease, { leases }), lease)
  await passAuthorization()
  const again = await takeUpOpening(payer, lease, { leases })
  assert.notEqual(again.channel.relay?.salt, lease.channel.relay?.salt)
  await assertRefused('CHANNEL_SIGNATURE', /InvalidAuthorizationTime/, () => relay(lease))
  await relay(again)
  assert.equal((await stateOf(lease))?.deposited, DEPOSIT)
  assert.equal((await takeUpOpening(payer, lease, { leases })).kind, 'funded')
})

test('a payer that has come to gas sends the very same opening itself; the provider, sending it late, pays nothing in twice', async () => {
  const lease = await authorized()
  await giveGas()
  const start = await balance()
  const funded = await takeUpOpening(payer, lease, { leases })
  assert.equal(funded.kind, 'funded')
  assert.equal(funded.channel.opening?.nonce, 0)
  await assertRefused('CHANNEL_SIGNATURE', /UsedAuthorization/, () => relay(lease))
  assert.equal((await stateOf(lease))?.deposited, DEPOSIT)
  assert.equal(await balance(), start - DEPOSIT)
})

test('a lease is not given up while the provider can still open its channel, and is afterwards', async () => {
  const lease = await authorized()
  await assertRefused('CHANNEL_NOT_FOUND', /can be sent until .*: stop again then/, () =>
    stopLease(payer, lease, { node, leases }),
  )
  await passAuthorization()
  const outcome = await stopLease(payer, lease, { node, leases })
  assert.equal(outcome.kind === 'ended' && outcome.paid + outcome.refund, 0n)
  await assertRefused('CHANNEL_SIGNATURE', /InvalidAuthorizationTime/, () => relay(lease))
})

test('a top-up that was signed and not sent is asked for again, not signed again; another sum waits for its end', async () => {
  const lease = await authorized()
  await relay(lease)
  const funded = await confirmOpening(payer, lease, { leases })
  const add = (amount: bigint, one: Lease, funding: 'own' | 'relayed' = 'relayed') =>
    fundLease(payer, one, { amount, leases, node, funding })
  await assertRefused('CHANNEL_RELAY_REFUSED', /no deposits are sent/, () => add(700n, funded))
  const pending = saved.at(-1) ?? assert.fail()
  const signed = pending.channel.topUp ?? assert.fail('it is not remembered')
  await assertRefused('CHANNEL_IN_USE', /a top-up of 700 base units was signed before/, () => add(800n, pending))
  provider.deviate.fund = async ({ funding }) => {
    const same = fromProtoFunding(funding ?? assert.fail())
    assert.equal(same.salt, signed.salt)
    const { transaction } = await transact(relayer, depositCall(relayer, funded.channel.terms, same))
    return { result: { case: 'transaction', value: hexToBytes(transaction) } }
  }
  const sent = await add(700n, pending)
  assert.deepEqual([sent.isRelayed, sent.isEarlier, sent.lease.channel.topUp], [true, false, undefined])
  // As a run that died before it could store the answer finds it.
  const done = await add(700n, pending)
  assert.equal(done.isEarlier, true)
  assert.equal(done.lease.channel.topUp, undefined)
  assert.equal((await stateOf(funded))?.deposited, DEPOSIT + 700n)
  await giveGas()
  const own = await add(5n, done.lease, 'own')
  assert.equal(own.isRelayed, false)
  assert.equal((await stateOf(funded))?.deposited, DEPOSIT + 705n)
})

/** Own, handed in, not mined, and given up. */
async function leaveWaiting(ask: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const { address } = requireWallet(payer).account
  const nonce = await payer.public.getTransactionCount({ address })
  const given = new AbortController()
  const asked = ask(given.signal)
  while ((await payer.public.getTransactionCount({ address, blockTag: 'pending' })) === nonce) await setImmediate()
  given.abort()
  await assert.rejects(asked)
}

test('an opening and a top-up of our own that wait to be mined are waited for: the provider is given none beside them', async () => {
  const lease = await authorized()
  await giveGas()
  await passAuthorization()
  await dev.anvil.control.setAutomine(false)
  try {
    await leaveWaiting((signal) => takeUpOpening(payer, lease, { leases, funding: 'own', signal }))
    const again = takeUpOpening(payer, lease, { leases, funding: 'relayed' })
    assert.ok(await waits(again), 'another opening was signed')
    await dev.anvil.control.mine({ blocks: 1 })
    const funded = await again
    assert.equal(funded.kind, 'funded')
    const add = (funding: 'own' | 'relayed', signal?: AbortSignal) =>
      fundLease(payer, funded, { amount: 9n, leases, node, funding, ...(signal && { signal }) })
    await leaveWaiting((signal) => add('own', signal))
    const added = add('relayed')
    assert.ok(await waits(added), 'the provider was asked too')
    await dev.anvil.control.mine({ blocks: 1 })
    assert.deepEqual([(await added).isEarlier, (await added).isRelayed], [true, false])
    assert.equal((await stateOf(lease))?.deposited, DEPOSIT + 9n)
  } finally {
    await dev.anvil.control.setAutomine(true)
  }
})

/** For a transaction to be mined; false: it has ended without. */
async function waits(asked: Promise<unknown>): Promise<boolean> {
  let hasEnded = false
  const end = () => {
    hasEnded = true
  }
  asked.then(end, end)
  while (!hasEnded && requireWallet(payer).awaited.size === 0) await setImmediate()
  return !hasEnded
}

test('the way of funding is chosen by what the account and the provider have, and said', async () => {
  const { token } = payer
  const offered = { token, relayMinDeposit: '1000' }
  const none = { token, relayMinDeposit: '' }
  const poor = await chooseFunding(payer, offered)
  assert.equal(poor.kind, 'relayed')
  assert.match(poor.how, /the account has 0 wei/)
  const stuck = await chooseFunding(payer, none)
  assert.match(`${stuck.kind} ${stuck.how}`, /^own .*may be refused, and the provider sends no deposits/)
  await assertRefused('CHANNEL_RELAY_REFUSED', /sends no deposits for others/, () =>
    chooseFunding(payer, none, 'relayed'),
  )
  const plain = { token: await deployPlainToken(), relayMinDeposit: '1' }
  await assertRefused('CHANNEL_RELAY_REFUSED', /EIP-3009/, () => chooseFunding(payer, plain, 'relayed'))
  await giveGas()
  const rich = await chooseFunding(payer, offered)
  assert.match(`${rich.kind} ${rich.how}`, /^own own transaction with a permit/)
  assert.match((await chooseFunding(payer, plain)).how, /an approval first/)
  assert.equal((await chooseFunding(payer, offered, 'relayed')).kind, 'relayed')
})

/** Code that answers every call with nothing. */
async function deployPlainToken(): Promise<Address> {
  const address = privateKeyToAccount(generatePrivateKey()).address
  await dev.anvil.control.setCode({ address, bytecode: '0x00' })
  const data = encodeFunctionData({ abi: parseAbi(['function name()']), functionName: 'name' })
  assert.equal((await payer.public.call({ to: address, data })).data, undefined)
  return address
}
