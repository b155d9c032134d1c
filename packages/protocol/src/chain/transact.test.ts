import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { encodeFunctionData } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../../test/support/faulty-rpc.ts'
import { TrustedPodsError } from '../errors.ts'
import { connectNode } from './client.ts'
import { testTokenAbi } from './gen/test-token.ts'
import { mintTestToken, tokenBalance } from './token.ts'
import { transact } from './transact.ts'

let dev: DevChain
before(async () => {
  dev = await startDevChain()
})
after(() => dev[Symbol.asyncDispose]())

const POLLING = { pollingIntervalMs: 20 }

test('twenty transactions at once from one account are all mined, each once', async () => {
  const chain = await dev.connect(0)
  const to = newAddress()
  const mined = await Promise.all(
    Array.from({ length: 20 }, () => mintTestToken(chain, { token: chain.token, to, amount: 1n })),
  )
  assert.equal(new Set(mined.map(({ transaction }) => transaction)).size, 20)
  assert.equal(await tokenBalance(chain, { token: chain.token, account: to }), 20n)
})

test('a refused transaction leaves no gap of nonces behind it', async () => {
  const chain = await dev.connect(0)
  const to = newAddress()
  const refused = () => transact(chain, transferCall(chain.token, 10n ** 40n))
  const results = await Promise.allSettled([mint(), refused(), mint(), refused(), mint()])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  )
  assert.equal(await tokenBalance(chain, { token: chain.token, account: to }), 3n)
  function mint() {
    return mintTestToken(chain, { token: chain.token, to, amount: 1n })
  }
})

test('an account without gas coin is CHANNEL_NO_FUNDS with what it has and needs', async () => {
  const account = privateKeyToAccount(generatePrivateKey())
  const node = await connectNode(dev.config, { account, ...POLLING })
  const mint = mintTestToken(node, { token: dev.config.token, to: account.address, amount: 1n })
  await assertRefused('CHANNEL_NO_FUNDS', /has 0 wei of the chain's coin/, () => mint)
})

test('an account without the token is CHANNEL_NO_FUNDS, in the words of the token', async () => {
  const chain = await dev.connect(1)
  await assertRefused('CHANNEL_NO_FUNDS', /ERC20InsufficientBalance\(0x/, () =>
    transact(chain, transferCall(chain.token, 1n)),
  )
})

test('a transaction whose answer is lost is found again by its hash, and is sent once', async () => {
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const node = await connectNode({ ...dev.config, rpc: [faulty.rpc] }, { account: dev.anvil.account(2), ...POLLING })
  const to = newAddress()
  faulty.fail('lose-answer', { method: /^eth_sendRawTransaction$/ })
  await mintTestToken(node, { token: dev.config.token, to, amount: 5n })
  faulty.fail('pass')
  await mintTestToken(node, { token: dev.config.token, to, amount: 5n })
  assert.equal(await tokenBalance(node, { token: dev.config.token, account: to }), 10n)
})

test('a transaction that could not be handed over is CHANNEL_RPC_UNAVAILABLE, and the next one goes through', async () => {
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const node = await connectNode({ ...dev.config, rpc: [faulty.rpc] }, { account: dev.anvil.account(3), ...POLLING })
  const to = newAddress()
  const mint = () => mintTestToken(node, { token: dev.config.token, to, amount: 1n })
  for (const method of [
    /^eth_estimateGas$/,
    /^eth_getBalance$/,
    /^eth_getTransactionCount$/,
    /^eth_sendRawTransaction$/,
  ]) {
    faulty.fail('status-500', { method })
    await assertRefused('CHANNEL_RPC_UNAVAILABLE', /./, mint)
  }
  faulty.fail('pass')
  await mint()
  assert.equal(await tokenBalance(node, { token: dev.config.token, account: to }), 1n)
})

test('a transaction that no node took is not forgotten: it goes out before the next, and both are mined', async () => {
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const node = await connectNode({ ...dev.config, rpc: [faulty.rpc] }, { account: dev.anvil.account(6), ...POLLING })
  const to = newAddress()
  faulty.fail('status-500', { method: /^eth_sendRawTransaction$/, times: 1 })
  const sends = [1n, 2n].map((amount) => mintTestToken(node, { token: dev.config.token, to, amount }))
  const results = await Promise.allSettled(sends)
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  const [failed] = results.filter((result) => result.status === 'rejected')
  assert.ok(failed?.reason instanceof TrustedPodsError)
  assert.equal(failed.reason.code, 'CHANNEL_RPC_UNAVAILABLE')
  assert.equal(await tokenBalance(node, { token: dev.config.token, account: to }), 3n)
})

test('a transaction that reverts once it is mined is refused with the reason of the contract', async () => {
  await dev.mint(4, 10n)
  const chain = await dev.connect(4)
  await dev.anvil.control.setAutomine(false)
  try {
    const both = [transferCall(chain.token, 10n), transferCall(chain.token, 10n)].map((call) => transact(chain, call))
    // Both pass the simulation at the block before the first of them is mined.
    const results = Promise.allSettled(both)
    await untilPending(dev, 2)
    await dev.anvil.control.mine({ blocks: 1 })
    const failures = (await results).flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    assert.equal(failures.length, 1)
    assert.ok(failures[0] instanceof TrustedPodsError)
    assert.match(failures[0].message, /ERC20InsufficientBalance/)
  } finally {
    await dev.anvil.control.setAutomine(true)
  }
})

test('a wait for a block ends with the signal', async () => {
  const chain = await dev.connect(5)
  const aborter = new AbortController()
  await dev.anvil.control.setAutomine(false)
  try {
    const waiting = mintTestToken(chain, { token: chain.token, to: newAddress(), amount: 1n, signal: aborter.signal })
    const rejected = assert.rejects(waiting, (error) => error === aborter.signal.reason)
    await untilPending(dev, 1)
    aborter.abort()
    await rejected
  } finally {
    await dev.anvil.control.mine({ blocks: 1 })
    await dev.anvil.control.setAutomine(true)
  }
  const late = mintTestToken(chain, { token: chain.token, to: newAddress(), amount: 1n, signal: aborter.signal })
  await assert.rejects(late, (error) => error === aborter.signal.reason)
})

function transferCall(token: `0x${string}`, amount: bigint) {
  const data = encodeFunctionData({ abi: testTokenAbi, functionName: 'transfer', args: [newAddress(), amount] })
  return { to: token, data, abi: testTokenAbi, what: 'sending tokens' }
}

function newAddress() {
  return privateKeyToAccount(generatePrivateKey()).address
}

async function untilPending({ anvil }: DevChain, count: number): Promise<void> {
  while ((await anvil.control.getTxpoolStatus()).pending < count) await new Promise((resolve) => setTimeout(resolve, 5))
}
