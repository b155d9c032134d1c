/** Endpoints that are there and must not be believed: the next one is asked, and where there is none nothing is known. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { type Fault, type FaultyRpc, startFaultyRpc } from '../../../../test/support/faulty-rpc.ts'
import { type ChainConfig, connectChain } from './client.ts'
import { tokenBalance } from './token.ts'

let dev: DevChain
let account: `0x${string}`
before(async () => {
  dev = await startDevChain()
  account = dev.anvil.account(0).address
})
after(() => dev[Symbol.asyncDispose]())

/** Connected to a faulty endpoint, and to a good one behind it. */
async function behind(faulty: FaultyRpc, changes: Partial<ChainConfig> = {}) {
  return connectChain({ ...dev.config, rpc: [faulty.rpc, dev.anvil.rpc], ...changes })
}

for (const fault of [
  'status-500',
  'truncated',
  'not-json',
  'hang-up',
  'rate-limit',
  'huge',
] as const satisfies Fault[]) {
  test(`past an endpoint that answers with ${fault} the next one is asked`, async () => {
    await using faulty = await startFaultyRpc(dev.anvil.rpc)
    const chain = await behind(faulty)
    await dev.mint(0, 1n)
    faulty.fail(fault)
    const wanted = await tokenBalance(await dev.connect(9), { token: dev.config.token, account })
    assert.equal(await tokenBalance(chain, { token: dev.config.token, account }), wanted)
  })
}

test('past an endpoint that has moved to another chain the next one is asked; alone it is not believed', async (t) => {
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const [chain, alone] = [await behind(faulty), await behind(faulty, { rpc: [faulty.rpc] })]
  faulty.fail('wrong-chain')
  t.mock.method(performance, 'now', laterBy(20_000))
  await tokenBalance(chain, { token: dev.config.token, account })
  await assertRefused('CHANNEL_RPC_UNAVAILABLE', /is chain 57005, wanted 31337/, () =>
    tokenBalance(alone, { token: dev.config.token, account }),
  )
})

test('an endpoint that has fallen behind another one is not believed: an old balance is not taken for the newest', async (t) => {
  await using good = await startFaultyRpc(dev.anvil.rpc)
  await using stale = await startFaultyRpc(dev.anvil.rpc)
  const chain = await connectChain({ ...dev.config, rpc: [good.rpc, stale.rpc] })
  const balance = () => tokenBalance(chain, { token: dev.config.token, account })
  const before = await balance()
  stale.fail('stale')
  await dev.anvil.control.increaseTime({ seconds: 120 })
  await dev.mint(0, 5n)
  t.mock.method(performance, 'now', laterBy(20_000))
  assert.equal(await balance(), before + 5n)
  good.fail('status-500')
  await assertRefused('CHANNEL_RPC_UNAVAILABLE', /s behind another endpoint/, balance)
  good.fail('pass')
  assert.equal(await balance(), before + 5n)
})

test('where a chain must make blocks, an endpoint with an old head is not believed', async () => {
  await dev.anvil.control.mine({ blocks: 1 })
  const config = { ...dev.config, maxHeadAgeSeconds: 3600 }
  await connectChain(config)
  await using old = await startDevChain({ args: ['--timestamp', '1700000000'] })
  await assertRefused('CHANNEL_RPC_UNAVAILABLE', /s old/, () =>
    connectChain({ ...old.config, maxHeadAgeSeconds: 3600 }),
  )
})

test('a contract that is no escrow of ours is CHANNEL_WRONG_CHAIN, unless its code is named', async () => {
  const foreign = { ...dev.config, escrow: dev.config.token }
  await assertRefused('CHANNEL_WRONG_CHAIN', /its hash is 0x[0-9a-f]{64}: correct chain.escrow/, () =>
    connectChain(foreign),
  )
  const error = await connectChain(foreign).catch((error: Error) => error)
  const [hash] = /0x[0-9a-f]{64}/.exec(String(error)) ?? []
  // Named, it is taken for an escrow, and fails the first question that only an escrow can answer.
  const named = { ...foreign, escrowCodeHash: hash as `0x${string}` }
  await assertRefused('CHANNEL_RPC_UNAVAILABLE', /asking the escrow for an id failed/, () => connectChain(named))
})

function laterBy(ms: number): () => number {
  const start = performance.timeOrigin
  return () => Date.now() - start + ms
}
