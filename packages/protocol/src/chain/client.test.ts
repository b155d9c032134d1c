import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startAnvil } from '../../../../test/support/anvil.ts'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../../test/support/faulty-rpc.ts'
import { TrustedPodsError } from '../errors.ts'
import { ZERO_ADDRESS } from './address.ts'
import { connectChain } from './client.ts'
import { readChannel, requestClose } from './escrow.ts'
import { tokenBalance, tokenMetadata } from './token.ts'

let dev: DevChain
before(async () => {
  dev = await startDevChain()
})
after(() => dev[Symbol.asyncDispose]())

const NOBODY = 'http://127.0.0.1:9/v3/secret-key'

test('a chain is connected and its token read', async () => {
  const chain = await connectChain(dev.config)
  assert.deepEqual(await tokenMetadata(chain, dev.config.token), {
    address: dev.config.token,
    decimals: 6,
    symbol: 'tUSDC',
  })
  assert.equal(await tokenBalance(chain, { token: dev.config.token, account: ZERO_ADDRESS }), 0n)
})

test('an endpoint of another chain is refused with CHANNEL_WRONG_CHAIN, also as the second of a list', async () => {
  await using other = await startAnvil({ chainId: 4242 })
  await assertRefused('CHANNEL_WRONG_CHAIN', /is chain 4242, wanted 31337/, () =>
    connectChain({ ...dev.config, rpc: [other.rpc] }),
  )
  await assertRefused('CHANNEL_WRONG_CHAIN', /is chain 4242/, () =>
    connectChain({ ...dev.config, rpc: [dev.anvil.rpc, other.rpc] }),
  )
})

test('a chain without our contracts is refused with CHANNEL_WRONG_CHAIN', async () => {
  await assertRefused('CHANNEL_WRONG_CHAIN', /no escrow contract at 0x0/, () =>
    connectChain({ ...dev.config, escrow: ZERO_ADDRESS }),
  )
  await assertRefused('CHANNEL_WRONG_CHAIN', /no registry contract at 0x0/, () =>
    connectChain({ ...dev.config, registry: ZERO_ADDRESS }),
  )
})

test('no endpoint, or one that is no URL of a web server, is refused with CHANNEL_WRONG_CHAIN', async () => {
  await assertRefused('CHANNEL_WRONG_CHAIN', /no RPC URL/, () => connectChain({ ...dev.config, rpc: [] }))
  for (const url of ['', 'localhost:8545', 'ws://127.0.0.1:1', 'file:///etc/passwd']) {
    await assertRefused('CHANNEL_WRONG_CHAIN', /not an http/, () => connectChain({ ...dev.config, rpc: [url] }))
  }
})

test('endpoints that do not answer are CHANNEL_RPC_UNAVAILABLE, and the message holds no key', async () => {
  await assert.rejects(connectChain({ ...dev.config, rpc: [NOBODY] }), (error) => {
    assert.ok(error instanceof TrustedPodsError)
    assert.equal(error.code, 'CHANNEL_RPC_UNAVAILABLE')
    assert.match(error.message, /127\.0\.0\.1:9/)
    assert.doesNotMatch(error.message, /secret-key/)
    return true
  })
})

test('a dead endpoint is passed over for the next one', async () => {
  const chain = await connectChain({ ...dev.config, rpc: [NOBODY, dev.anvil.rpc] })
  assert.equal(await readChannel(chain, `0x${'00'.repeat(32)}`), undefined)
})

for (const fault of ['status-500', 'truncated', 'not-json', 'hang-up', 'rate-limit'] as const) {
  test(`an endpoint that fails (${fault}) is CHANNEL_RPC_UNAVAILABLE, never "no channel" or "no funds"`, async () => {
    await using faulty = await startFaultyRpc(dev.anvil.rpc)
    const chain = await connectChain({ ...dev.config, rpc: [faulty.rpc] })
    faulty.fail(fault)
    await assertRefused('CHANNEL_RPC_UNAVAILABLE', /reading the channel/, () =>
      readChannel(chain, `0x${'00'.repeat(32)}`),
    )
    const balance = () => tokenBalance(chain, { token: dev.config.token, account: ZERO_ADDRESS })
    await assertRefused('CHANNEL_RPC_UNAVAILABLE', /reading a token balance/, balance)
    faulty.fail('pass')
    assert.equal(await balance(), 0n)
  })
}

test('without an account nothing can be sent: CHANNEL_WALLET', async () => {
  const chain = await connectChain(dev.config)
  const terms = {
    payer: ZERO_ADDRESS,
    voucherSigner: ZERO_ADDRESS,
    provider: ZERO_ADDRESS,
    meter: ZERO_ADDRESS,
    token: ZERO_ADDRESS,
    ratePerHour: 0n,
    unlockDelay: 900,
    podId: `0x${'00'.repeat(32)}` as const,
  }
  await assertRefused('CHANNEL_WALLET', /no account/, () => requestClose(chain, terms))
})
