/** Transactions through what happens to them on a real chain: dropped, too cheap, overtaken, left behind by a process that died. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createWalletClient, http, parseGwei, publicActions } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../../test/support/faulty-rpc.ts'
import { type ConnectOptions, connectNode } from './client.ts'
import { memoryOutbox, type OutboxStore } from './outbox.ts'
import { fillGap } from './resend.ts'
import { settleOutbox } from './settle-outbox.ts'
import { mintTestToken, tokenBalance } from './token.ts'

let dev: DevChain
before(async () => {
  dev = await startDevChain()
})
after(() => dev[Symbol.asyncDispose]())

/** A process of its own that pays from the account of this index. */
function connect(index: number, options: ConnectOptions = {}) {
  return connectNode(dev.config, { account: dev.anvil.account(index), pollingIntervalMs: 20, ...options })
}

function newAddress() {
  return privateKeyToAccount(generatePrivateKey()).address
}

async function balance(account: `0x${string}`): Promise<bigint> {
  return tokenBalance(await connect(9), { token: dev.config.token, account })
}

async function untilPending(count: number): Promise<void> {
  while ((await dev.anvil.control.getTxpoolStatus()).pending < count)
    await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Mines by hand only while `act` runs. */
async function withoutMining(act: () => Promise<void>): Promise<void> {
  await dev.anvil.control.setAutomine(false)
  try {
    await act()
  } finally {
    await dev.anvil.control.setAutomine(true)
    await dev.anvil.control.mine({ blocks: 1 })
  }
}

/** Sends and dies before the transaction is mined: the outbox is all that is left of it. */
async function sendAndDie(
  index: number,
  outbox: OutboxStore,
  mint: { to: `0x${string}`; amount: bigint },
  pending = 1,
): Promise<void> {
  const dying = new AbortController()
  const node = await connect(index, { outbox })
  const sent = mintTestToken(node, { token: dev.config.token, ...mint, signal: dying.signal })
  const ended = assert.rejects(sent, (error) => error === dying.signal.reason)
  await untilPending(pending)
  dying.abort(new Error('killed'))
  await ended
}

test('the same call, left on its way by a process that died, is waited for and not sent twice', async () => {
  const outbox = memoryOutbox()
  const mint = { to: newAddress(), amount: 5n }
  await withoutMining(async () => {
    await sendAndDie(0, outbox, mint)
    const again = mintTestToken(await connect(0, { outbox }), { token: dev.config.token, ...mint })
    await dev.anvil.control.mine({ blocks: 1 })
    await again
  })
  assert.equal(await balance(mint.to), 5n)
})

test('what was mined after its process died is told once, and forgotten', async () => {
  const outbox = memoryOutbox()
  const mint = { to: newAddress(), amount: 5n }
  await withoutMining(() => sendAndDie(0, outbox, mint))
  const node = await connect(0, { outbox })
  const { mined, waiting, lost } = await settleOutbox(node)
  assert.deepEqual([mined.map(({ entry }) => entry.what), waiting, lost], [['minting test tokens'], [], []])
  assert.deepEqual(await settleOutbox(node), { mined: [], waiting: [], lost: [] })
})

test('a transaction that every node has dropped is handed over again', async () => {
  const outbox = memoryOutbox()
  const mint = { to: newAddress(), amount: 5n }
  await withoutMining(async () => {
    await sendAndDie(1, outbox, mint)
    const [entry] = await outbox.load({ chainId: dev.config.chainId, address: dev.anvil.account(1).address })
    await dev.anvil.control.dropTransaction({ hash: entry?.attempts[0]?.hash ?? '0x' })
    assert.equal((await dev.anvil.control.getTxpoolStatus()).pending, 0)
    const { waiting } = await settleOutbox(await connect(1, { outbox }))
    assert.equal(waiting.length, 1)
    await untilPending(1)
  })
  assert.equal(await balance(mint.to), 5n)
})

test('while one waits for it, a transaction that was dropped is handed over again', async () => {
  const to = newAddress()
  await withoutMining(async () => {
    const outbox = memoryOutbox()
    const mint = mintTestToken(await connect(1, { outbox }), { token: dev.config.token, to, amount: 5n })
    await untilPending(1)
    const [entry] = await outbox.load({ chainId: dev.config.chainId, address: dev.anvil.account(1).address })
    await dev.anvil.control.dropTransaction({ hash: entry?.attempts[0]?.hash ?? '0x' })
    await untilPending(1)
    await dev.anvil.control.mine({ blocks: 1 })
    await mint
  })
  assert.equal(await balance(to), 5n)
})

test('a transaction that the base fee has overtaken offers more, under the same nonce', async () => {
  const outbox = memoryOutbox()
  const to = newAddress()
  await withoutMining(async () => {
    const node = await connect(2, { outbox, raiseFeeAfterMs: 200 })
    const mint = mintTestToken(node, { token: dev.config.token, to, amount: 5n })
    await untilPending(1)
    await dev.anvil.control.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei('90') })
    await dev.anvil.control.mine({ blocks: 1 })
    assert.equal(await balance(to), 0n)
    const account = { chainId: dev.config.chainId, address: dev.anvil.account(2).address }
    while (((await outbox.load(account))[0]?.attempts.length ?? 2) < 2)
      await new Promise((resolve) => setTimeout(resolve, 5))
    const [entry] = await outbox.load(account)
    const [first, second] = entry?.attempts ?? []
    assert.ok(first && second && second.maxFeePerGas * 100n >= first.maxFeePerGas * 112n)
    await dev.anvil.control.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei('1') })
    await dev.anvil.control.mine({ blocks: 1 })
    await mint
    assert.deepEqual(await outbox.load(account), [])
  })
  assert.equal(await balance(to), 5n)
})

test('gas that costs more than the configuration allows is refused before anything is sent', async () => {
  const node = await connect(2, { maxFeePerGas: 1n })
  const mint = () => mintTestToken(node, { token: dev.config.token, to: newAddress(), amount: 1n })
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /the configuration allows 1:/, mint)
})

test('when somebody else sends from the account too, ours are all mined, each once', async () => {
  const account = dev.anvil.account(3)
  const other = createWalletClient({ account, transport: http(dev.anvil.rpc) })
  const to = newAddress()
  const node = await connect(3)
  for (let round = 0; round < 5; round++) {
    const transfer = other.sendTransaction({ to: account.address, chain: null, nonce: await nonceOf(account.address) })
    const mints = [1n, 2n].map((amount) => mintTestToken(node, { token: dev.config.token, to, amount }))
    // The other program may find its nonce taken by us: that is its affair.
    await Promise.allSettled([transfer])
    await Promise.all(mints)
  }
  assert.equal(await balance(to), 15n)
})

async function nonceOf(address: `0x${string}`): Promise<number> {
  return (await connect(9)).public.getTransactionCount({ address, blockTag: 'pending' })
}

test('a transaction whose nonce another one took is CHANNEL_TRANSACTION_FAILED, and forgotten', async () => {
  const outbox = memoryOutbox()
  const account = dev.anvil.account(4)
  const other = createWalletClient({ account, transport: http(dev.anvil.rpc) })
  await withoutMining(async () => {
    const mint = mintTestToken(await connect(4, { outbox }), { token: dev.config.token, to: newAddress(), amount: 1n })
    await untilPending(1)
    const [entry] = await outbox.load({ chainId: dev.config.chainId, address: account.address })
    const fees = { maxFeePerGas: parseGwei('500'), maxPriorityFeePerGas: parseGwei('400') }
    await other.sendTransaction({ to: account.address, chain: null, nonce: entry?.nonce ?? 0, ...fees })
    await dev.anvil.control.mine({ blocks: 1 })
    await assertRefused('CHANNEL_TRANSACTION_FAILED', /can no longer be mined: another transaction/, () => mint)
  })
  assert.deepEqual(await outbox.load({ chainId: dev.config.chainId, address: account.address }), [])
})

test('a nonce that another program has used is left to it, also where no node of ours sees its transaction', async () => {
  const account = dev.anvil.account(5)
  const other = createWalletClient({ account, transport: http(dev.anvil.rpc) }).extend(publicActions)
  const outbox = memoryOutbox()
  const mint = { to: newAddress(), amount: 5n }
  await withoutMining(async () => {
    const hash = await other.sendTransaction({ to: account.address, chain: null })
    await sendAndDie(5, outbox, mint, 2)
    const { nonce } = await other.getTransaction({ hash })
    await dev.anvil.control.dropTransaction({ hash })
    const node = await connect(5, { outbox })
    await settleOutbox(node)
    assert.equal(await fillGap(node, nonce + 1), nonce)
    assert.deepEqual(
      (await outbox.load({ chainId: dev.config.chainId, address: account.address })).map((entry) => entry.nonce),
      [nonce + 1],
      'ours waits behind it',
    )
    await dev.anvil.control.mine({ blocks: 1 })
    assert.equal(await balance(mint.to), 0n)
    // The other program's transaction reaches our node after all.
    await other.sendTransaction({ to: account.address, chain: null, nonce })
    await settleOutbox(node)
  })
  assert.equal(await balance(mint.to), 5n)
})

test('a nonce of ours that a reorganisation has freed is used up, so that what waits behind it is mined', async () => {
  const outbox = memoryOutbox()
  const account = dev.anvil.account(7)
  const own = { chainId: dev.config.chainId, address: account.address }
  const node = await connect(7, { outbox })
  await mintTestToken(node, { token: dev.config.token, to: newAddress(), amount: 1n })
  const nonce = (await node.public.getTransactionCount({ address: account.address })) - 1
  assert.equal(await outbox.wasMined(own, nonce), true)
  await dev.anvil.control.request({ method: 'anvil_reorg', params: [1, []] } as never)
  assert.equal(await node.public.getTransactionCount({ address: account.address }), nonce)
  assert.equal(await fillGap(node, nonce + 1), undefined)
  assert.equal(await node.public.getTransactionCount({ address: account.address }), nonce + 1)
})

test('after a reorganisation that removed it a transaction is handed over again by whoever still has it', async () => {
  const outbox = memoryOutbox()
  const mint = { to: newAddress(), amount: 5n }
  const node = await connect(6, { outbox, confirmations: 3 })
  const sent = mintTestToken(node, { token: dev.config.token, ...mint })
  while ((await balance(mint.to)) === 0n) await new Promise((resolve) => setTimeout(resolve, 5))
  await dev.anvil.control.request({ method: 'anvil_reorg' as never, params: [1, []] as never })
  assert.equal(await balance(mint.to), 0n)
  while ((await balance(mint.to)) === 0n) await new Promise((resolve) => setTimeout(resolve, 20))
  await dev.anvil.control.mine({ blocks: 3 })
  await sent
  assert.equal(await balance(mint.to), 5n)
})

test('an outage while one waits is waited out', async () => {
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const account = dev.anvil.account(7)
  const node = await connectNode({ ...dev.config, rpc: [faulty.rpc] }, { account, pollingIntervalMs: 20 })
  const to = newAddress()
  await withoutMining(async () => {
    const mint = mintTestToken(node, { token: dev.config.token, to, amount: 5n })
    await untilPending(1)
    faulty.fail('status-500', { times: 20 })
    await dev.anvil.control.mine({ blocks: 1 })
    await mint
  })
  assert.equal(await balance(to), 5n)
})

test('a fee that another process has raised is followed by whoever waits', async () => {
  const outbox = memoryOutbox()
  const to = newAddress()
  await withoutMining(async () => {
    const mint = mintTestToken(await connect(8, { outbox }), { token: dev.config.token, to, amount: 5n })
    await untilPending(1)
    await new Promise((resolve) => setTimeout(resolve, 20))
    const { waiting } = await settleOutbox(await connect(8, { outbox, raiseFeeAfterMs: 10 }))
    assert.equal(waiting.length, 1)
    await dev.anvil.control.mine({ blocks: 1 })
    await mint
  })
  assert.equal(await balance(to), 5n)
})
