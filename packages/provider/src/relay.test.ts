import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { type Chain, connectChain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { depositCall, signDeposit } from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { credit, readChannel, redeem, settleClose } from '@trusted-pods/protocol/chain/escrow.ts'
import { testTokenAbi } from '@trusted-pods/protocol/chain/gen/test-token.ts'
import { memoryOutbox } from '@trusted-pods/protocol/chain/outbox.ts'
import { mintTestToken, tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { transact } from '@trusted-pods/protocol/chain/transact.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { signVoucher } from '@trusted-pods/protocol/channel/voucher.ts'
import { type Address, encodeFunctionData, type Hex } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { linkTo } from './chain-link.ts'
import { Relay, type RelayParts } from './relay.ts'
import { RelayLedger } from './relay-ledger.ts'

const DEPOSIT = 1_000_000n
const COIN = 10n ** 18n

let dev: DevChain
let provider: Chain & { token: Address }
let stranger: Chain & { token: Address }
/** Has tokens, and not one wei. */
let payer: Chain & { token: Address }
before(async () => {
  dev = await startDevChain()
  provider = await dev.connect(1)
  stranger = await dev.connect(2)
})
beforeEach(async () => {
  payer = await poor(10n * DEPOSIT)
})
after(() => dev[Symbol.asyncDispose]())

async function poor(tokens: bigint) {
  const account = privateKeyToAccount(generatePrivateKey())
  const chain = { ...(await connectChain(dev.config, { account, pollingIntervalMs: 20 })), token: dev.config.token }
  if (tokens > 0n) await mintTestToken(stranger, { token: chain.token, to: account.address, amount: tokens })
  assert.equal(await chain.public.getBalance({ address: account.address }), 0n)
  return chain
}

function termsOf(chain: Chain, changes: Partial<ChannelTerms> = {}): ChannelTerms {
  return {
    payer: requireWallet(chain).account.address,
    voucherSigner: ZERO_ADDRESS,
    provider: requireWallet(provider).account.address,
    meter: requireWallet(provider).account.address,
    token: dev.config.token,
    ratePerHour: 45_000n,
    unlockDelay: 900,
    podId: generatePrivateKey(),
    ...changes,
  }
}

function relayWith(changes: Partial<RelayParts> = {}) {
  const ledger = new RelayLedger(':memory:')
  const parts = { link: linkTo(provider), ledger, log: memoryLog(), relayWeiPerDay: COIN, gasPercent: 5n, ...changes }
  return { relay: new Relay(parts), ledger: parts.ledger }
}

function nonceOf(chain: Chain): Promise<number> {
  return chain.public.getTransactionCount({ address: requireWallet(provider).account.address })
}

const idOf = (terms: ChannelTerms) => channelId(terms, payer)

test('a payer without a wei gets its channel opened and topped up, and its refund into the wallet', async () => {
  const { relay } = relayWith()
  const terms = termsOf(payer)
  const start = await tokenBalance(payer, { token: terms.token, account: terms.payer })
  const { transaction } = await relay.send(terms, await signDeposit(payer, terms, { amount: DEPOSIT }), 'open')
  assert.equal((await provider.public.getTransaction({ hash: transaction ?? '0x' })).from, terms.provider.toLowerCase())
  assert.equal((await readChannel(payer, idOf(terms)))?.deposited, DEPOSIT)
  await relay.send(terms, await signDeposit(payer, terms, { amount: 7n }), 'top-up')
  assert.equal((await readChannel(payer, idOf(terms)))?.deposited, DEPOSIT + 7n)
  assert.equal(relay.hasOpened(idOf(terms)), true)
  await settleClose(provider, terms, { payOut: true })
  assert.equal(await tokenBalance(payer, { token: terms.token, account: terms.payer }), start)
  assert.equal(await credit(payer, { account: terms.payer, token: terms.token }), 0n)
  assert.equal(await payer.public.getBalance({ address: terms.payer }), 0n)
})

test('a channel is closed without the pay-out where the refund cannot be sent', async () => {
  const { relay } = relayWith()
  const terms = termsOf(payer)
  await relay.send(terms, await signDeposit(payer, terms, { amount: DEPOSIT }), 'open')
  // Nothing is left for the payer: sending nothing is refused.
  const { account } = requireWallet(payer)
  const voucher = await signVoucher(DEPOSIT, { terms, chainId: payer.chainId, escrow: payer.escrow, account })
  await redeem(provider, terms, { voucher })
  await settleClose(provider, terms, { payOut: true })
  assert.equal((await readChannel(payer, idOf(terms)))?.closed, true)
})

test('the same authorization asked for many times at once is sent once', async () => {
  const { relay } = relayWith()
  const terms = termsOf(payer)
  const signed = await signDeposit(payer, terms, { amount: DEPOSIT })
  const before = await nonceOf(provider)
  const sent = await Promise.all([1, 2, 3, 4].map(() => relay.send(terms, signed, 'open')))
  assert.equal(new Set(sent.map(({ transaction }) => transaction)).size, 1)
  assert.equal(await nonceOf(provider), before + 1)
  assert.deepEqual(await relay.send(terms, signed, 'open'), { transaction: undefined })
  assert.equal(await nonceOf(provider), before + 1, 'what has come in is not sent again')
  assert.equal((await readChannel(payer, idOf(terms)))?.deposited, DEPOSIT)
})

test('whoever sends the authorization first has done no harm: the deposit is in its channel', async () => {
  const { relay } = relayWith()
  const terms = termsOf(payer)
  const signed = await signDeposit(payer, terms, { amount: DEPOSIT })
  await transact(stranger, depositCall(stranger, terms, signed))
  assert.deepEqual(await relay.send(terms, signed, 'open'), { transaction: undefined })
  assert.equal((await readChannel(payer, idOf(terms)))?.deposited, DEPOSIT)
})

test('tokens that are gone before the transaction are seen at the pending block, and cost nothing', async () => {
  const { relay, ledger } = relayWith()
  const empty = await poor(0n)
  const terms = termsOf(empty)
  const signed = await signDeposit(empty, terms, { amount: DEPOSIT })
  const before = await nonceOf(provider)
  await assertRefused('CHANNEL_NO_FUNDS', /ERC20InsufficientBalance/, () => relay.send(terms, signed, 'open'))
  assert.equal(await nonceOf(provider), before)
  assert.equal(ledger.spentSince(0, terms.payer).total, 0n)
})

test('two authorizations over the same tokens: the first is sent, the second costs nothing', async () => {
  const { relay } = relayWith()
  const narrow = await poor(DEPOSIT)
  const [first, second] = [termsOf(narrow), termsOf(narrow)]
  const signed = await Promise.all([first, second].map((terms) => signDeposit(narrow, terms, { amount: DEPOSIT })))
  const before = await nonceOf(provider)
  const outcomes = await Promise.allSettled(
    [first, second].map((terms, i) => relay.send(terms, signed[i] ?? assert.fail(), 'open')),
  )
  assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  assert.equal(await nonceOf(provider), before + 1)
})

test('a payer that moves its tokens away before the block costs the gas of one failure, which counts, and gets no pod', async () => {
  const { relay, ledger } = relayWith()
  const thief = await poor(DEPOSIT)
  const { account } = requireWallet(thief)
  await dev.anvil.control.setBalance({ address: account.address, value: COIN })
  const terms = termsOf(thief)
  const signed = await signDeposit(thief, terms, { amount: DEPOSIT })
  const nonce = await nonceOf(provider)
  await dev.anvil.control.setAutomine(false)
  const sending = assertRefused('CHANNEL_NO_FUNDS', /transaction 0x.*ERC20InsufficientBalance/, () =>
    relay.send(terms, signed, 'open'),
  )
  try {
    const { address } = requireWallet(provider).account
    while ((await thief.public.getTransactionCount({ address, blockTag: 'pending' })) === nonce) await setImmediate()
    const to = requireWallet(stranger).account.address
    const data = encodeFunctionData({ abi: testTokenAbi, functionName: 'transfer', args: [to, DEPOSIT] })
    const fees = { maxFeePerGas: 100n * 10n ** 9n, maxPriorityFeePerGas: 50n * 10n ** 9n }
    const fields = { type: 'eip1559', chainId: thief.chainId, nonce: 0, gas: 100_000n, to: thief.token, data } as const
    const serializedTransaction = await account.signTransaction({ ...fields, ...fees })
    await thief.public.sendRawTransaction({ serializedTransaction })
    await dev.anvil.control.mine({ blocks: 1 })
  } finally {
    await dev.anvil.control.setAutomine(true)
  }
  await sending
  assert.equal(await readChannel(payer, idOf(terms)), undefined)
  assert.ok(ledger.spentSince(0, terms.payer).forPayer > 0n)
})

test('what its payer has not signed is refused: another sum, other terms, another time, another key', async () => {
  const { relay } = relayWith()
  const terms = termsOf(payer)
  const signed = await signDeposit(payer, terms, { amount: DEPOSIT })
  const { signature } = await signDeposit(stranger, termsOf(stranger), { amount: DEPOSIT })
  const refused = (t: ChannelTerms, changes: Partial<typeof signed>) =>
    assertRefused('CHANNEL_SIGNATURE', /authorization of the deposit/, () =>
      relay.send(t, { ...signed, ...changes }, 'open'),
    )
  await refused(terms, { amount: DEPOSIT + 1n })
  await refused(termsOf(payer), {})
  await refused(terms, { validBefore: signed.validBefore + 1n })
  await refused(terms, { salt: generatePrivateKey() })
  await refused(terms, { signature })
  await refused(terms, { signature: `${signature.slice(0, -2)}00` as Hex })
})

test('an authorization that is about to end is not sent: its gas could be for nothing', async () => {
  const { relay } = relayWith()
  const terms = termsOf(payer)
  const signed = await signDeposit(payer, terms, { amount: DEPOSIT })
  await dev.anvil.control.increaseTime({ seconds: 850 })
  await dev.anvil.control.mine({ blocks: 1 })
  await assertRefused('CHANNEL_RELAY_REFUSED', /the authorization ends at/, () => relay.send(terms, signed, 'open'))
})

test('no more gas than the bound of a day is given, and to one payer no more than a quarter', async () => {
  const gasPrice = (await provider.public.estimateFeesPerGas()).maxFeePerGas
  const { relay, ledger } = relayWith({ relayWeiPerDay: 4n * 300_000n * gasPrice })
  const send = async (chain: Chain) => {
    const terms = termsOf(chain)
    return relay.send(terms, await signDeposit(chain, terms, { amount: DEPOSIT }), 'open')
  }
  await send(payer)
  await assertRefused('CHANNEL_RELAY_REFUSED', /for this payer is used up/, () => send(payer))
  await send(await poor(DEPOSIT))
  const { total } = ledger.spentSince(0, '')
  assert.ok(total > 0n)
  const { relay: narrow } = relayWith({ ledger, relayWeiPerDay: total })
  await assertRefused('CHANNEL_RELAY_REFUSED', /used up for today/, async () => {
    const terms = termsOf(payer)
    await narrow.send(terms, await signDeposit(payer, terms, { amount: DEPOSIT }), 'open')
  })
  assert.equal(await narrow.leastDeposit(1n), undefined)
})

test('the least deposit is that of the quote, or what makes its gas a small part; nothing is promised without a price of gas', async () => {
  assert.equal(await relayWith().relay.leastDeposit(77n), 77n)
  const { relay } = relayWith({ coinPrice: 3_000_000_000n })
  const gasPrice = (await provider.public.estimateFeesPerGas()).maxFeePerGas
  const least = (await relay.leastDeposit(77n)) ?? 0n
  assert.ok(least > (250_000n * gasPrice * 3_000_000_000n * 18n) / COIN, `${least}`)
  assert.equal(await relayWith({ relayWeiPerDay: 0n }).relay.leastDeposit(77n), undefined)
  const blind = { require: () => assert.fail('no chain') }
  assert.equal(await relayWith({ link: blind }).relay.leastDeposit(77n), undefined)
})

test('an opening whose pod never came is let go once nobody can be storing it, and its money is back in the wallet', async () => {
  const { relay, ledger } = relayWith()
  const [stray, used] = [termsOf(payer), termsOf(payer)]
  const start = await tokenBalance(payer, { token: stray.token, account: stray.payer })
  for (const terms of [stray, used])
    await relay.send(terms, await signDeposit(payer, terms, { amount: DEPOSIT }), 'open')
  const hasPod = (podId: string) => `0x${podId}` === idOf(used)
  await relay.releaseStrays(hasPod)
  assert.equal((await readChannel(payer, idOf(stray)))?.closed, false)
  await dev.anvil.control.increaseTime({ seconds: 1200 })
  await dev.anvil.control.mine({ blocks: 1 })
  await relay.releaseStrays(hasPod)
  assert.equal((await readChannel(payer, idOf(stray)))?.closed, true)
  assert.equal((await readChannel(payer, idOf(used)))?.closed, false)
  assert.equal(await tokenBalance(payer, { token: stray.token, account: stray.payer }), start - DEPOSIT)
  assert.deepEqual(ledger.openings(), [])
})

test('a provider that was killed while its transaction waits finds the same one, and pays and counts it once', async () => {
  const ledger = new RelayLedger(':memory:')
  const terms = termsOf(payer)
  const signed = await signDeposit(payer, terms, { amount: DEPOSIT })
  const nonce = await nonceOf(provider)
  const outbox = memoryOutbox()
  /** Another process with the same files. */
  const start = async () => {
    const chain = await connectChain(dev.config, { account: dev.anvil.account(1), pollingIntervalMs: 20, outbox })
    return { ...relayWith({ ledger, link: linkTo(chain) }), chain }
  }
  const { address } = requireWallet(provider).account
  await dev.anvil.control.setAutomine(false)
  try {
    const killed = (await start()).relay.send(terms, signed, 'open')
    while ((await payer.public.getTransactionCount({ address, blockTag: 'pending' })) === nonce) await setImmediate()
    const { total } = ledger.spentSince(0, '')
    const { relay, chain } = await start()
    const again = relay.send(terms, signed, 'open')
    let hasEnded = false
    const end = () => {
      hasEnded = true
    }
    again.then(end, end)
    while (requireWallet(chain).awaited.size === 0 && !hasEnded) await setImmediate()
    await dev.anvil.control.mine({ blocks: 1 })
    assert.equal((await again).transaction, (await killed).transaction)
    assert.equal(ledger.spentSince(0, '').total, total)
  } finally {
    await dev.anvil.control.setAutomine(true)
  }
  assert.equal(await nonceOf(provider), nonce + 1)
  assert.equal((await readChannel(payer, idOf(terms)))?.deposited, DEPOSIT)
})

test('whoever opens and stops again and again costs no more than is counted, the close and the refund with it', async () => {
  const { relay, ledger } = relayWith()
  const account = requireWallet(provider).account.address
  const before = await provider.public.getBalance({ address: account })
  // All that it has goes in, so that the refund makes it a holder anew.
  const loop = await poor(DEPOSIT)
  for (let round = 0; round < 3; round++) {
    const terms = termsOf(loop)
    await relay.send(terms, await signDeposit(loop, terms, { amount: DEPOSIT }), 'open')
    await relay.release(terms)
    assert.equal(await tokenBalance(loop, { token: loop.token, account: terms.payer }), DEPOSIT)
  }
  const spent = before - (await provider.public.getBalance({ address: account }))
  const { total } = ledger.spentSince(0, '')
  assert.ok(spent <= total, `${spent} wei were spent, ${total} are counted`)
})

test('nothing is offered that the share of one payer cannot pay for', async () => {
  const gasPrice = (await provider.public.estimateFeesPerGas()).maxFeePerGas
  assert.equal(await relayWith({ relayWeiPerDay: 400_000n * gasPrice }).relay.leastDeposit(1n), undefined)
})

test('what is counted of a transaction is its whole limit: a token may do more when it is mined than when it was simulated', async () => {
  const { relay, ledger } = relayWith()
  const terms = termsOf(payer)
  await relay.send(terms, await signDeposit(payer, terms, { amount: DEPOSIT }), 'open')
  const { total } = ledger.spentSince(0, '')
  const { transaction } = await relay.send(terms, await signDeposit(payer, terms, { amount: 7n }), 'top-up')
  const { gas, maxFeePerGas = 0n } = await provider.public.getTransaction({ hash: transaction ?? '0x' })
  const counted = ledger.spentSince(0, '').total - total
  assert.ok(counted >= gas * maxFeePerGas, `${counted} are counted, ${gas} x ${maxFeePerGas} may be spent`)
})
