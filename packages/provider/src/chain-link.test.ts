import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../test/support/faulty-rpc.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { openChainLink } from './chain-link.ts'

let dev: DevChain
before(async () => {
  dev = await startDevChain()
})
after(() => dev[Symbol.asyncDispose]())

test('a chain that is there is there at once', async () => {
  await using link = await openChainLink(dev.config, { log: memoryLog() }, { mayWait: false })
  assert.equal(link.require().chainId, dev.config.chainId)
  assert.equal(await link.connected, link.require())
})

test('a chain that is away is CHANNEL_RPC_UNAVAILABLE, and there once an endpoint answers', async () => {
  await using proxy = await startFaultyRpc(dev.anvil.rpc)
  proxy.fail('status-500')
  const config = { ...dev.config, rpc: [proxy.rpc] }
  await using link = await openChainLink(config, { log: memoryLog(), retryMs: 10 }, { mayWait: false })
  await assertRefused('CHANNEL_RPC_UNAVAILABLE', /no RPC endpoint answers/, async () => link.require())
  proxy.fail('pass')
  assert.equal((await link.connected).chainId, dev.config.chainId)
  assert.equal(link.require().chainId, dev.config.chainId)
})

test('another chain is refused at once, but where pods depend on the provider it is refused to whoever asks', async () => {
  const config = { ...dev.config, chainId: 4242 }
  const log = memoryLog()
  await assertRefused('CHANNEL_WRONG_CHAIN', /wanted 4242/, () => openChainLink(config, { log }, { mayWait: false }))
  await using link = await openChainLink(config, { log }, { mayWait: true })
  await assertRefused('CHANNEL_WRONG_CHAIN', /wanted 4242/, async () => link.require())
})

test('a link that is closed before the chain is there stops trying', async () => {
  await using proxy = await startFaultyRpc(dev.anvil.rpc)
  proxy.fail('status-500')
  const link = await openChainLink(
    { ...dev.config, rpc: [proxy.rpc] },
    { log: memoryLog(), retryMs: 60_000 },
    { mayWait: false },
  )
  await link[Symbol.asyncDispose]()
})
