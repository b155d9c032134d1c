/** anvil holds the keys of its accounts and signs for them, as a wallet does. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { http } from 'viem'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { type ChannelTerms, channelId } from '../channel/terms.ts'
import { signVoucher, verifyVoucher } from '../channel/voucher.ts'
import { ZERO_ADDRESS } from './address.ts'
import { connectChain } from './client.ts'
import { openChannel, readChannel, requestClose } from './escrow.ts'
import { externalSigner, type RequestProvider, signerAt } from './external-signer.ts'

let dev: DevChain
before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 1_000n)
})
after(() => dev[Symbol.asyncDispose]())

function terms(): ChannelTerms {
  return {
    payer: dev.anvil.account(0).address,
    voucherSigner: ZERO_ADDRESS,
    provider: dev.anvil.account(1).address,
    meter: ZERO_ADDRESS,
    token: dev.config.token,
    ratePerHour: 1n,
    unlockDelay: 900,
    podId: `0x${'07'.repeat(32)}`,
  }
}

test('a wallet that keeps its key opens a channel, with a permit, and signs vouchers that hold', async () => {
  const signer = signerAt(dev.anvil.rpc, dev.anvil.account(0).address)
  const chain = await connectChain(dev.config, { account: signer, pollingIntervalMs: 20 })
  await openChannel(chain, terms(), { deposit: 100n })
  const place = { chainId: chain.chainId, escrow: chain.escrow }
  assert.equal((await readChannel(chain, channelId(terms(), place)))?.deposited, 100n)
  const voucher = await signVoucher(7n, { ...place, terms: terms(), account: signer.account })
  await verifyVoucher(voucher, { ...place, terms: terms() })
  await assertRefused('CHANNEL_IN_USE', /AlreadyOpen/, () => openChannel(chain, terms(), { deposit: 100n }))
})

test('a wallet whose request works as its method only is asked as such', async () => {
  class Wallet {
    readonly #rpc = http(dev.anvil.rpc)({})
    request(call: { method: string; params?: unknown }): Promise<unknown> {
      return this.#rpc.request(call as never)
    }
  }
  const { account } = externalSigner(new Wallet(), dev.anvil.account(0).address)
  const place = { chainId: dev.config.chainId, escrow: dev.config.escrow, terms: terms() }
  await verifyVoucher(await signVoucher(7n, { ...place, account }), place)
})

test('a person who says no is CHANNEL_WALLET, and nothing was sent', async () => {
  const { request } = http(dev.anvil.rpc)({})
  const refusing: RequestProvider = {
    request: async (call) => {
      if (call.method === 'eth_sendTransaction')
        throw Object.assign(new Error('User rejected the request.'), { code: 4001 })
      return request(call as never)
    },
  }
  const account = externalSigner(refusing, dev.anvil.account(0).address)
  const chain = await connectChain(dev.config, { account, pollingIntervalMs: 20 })
  await assertRefused('CHANNEL_WALLET', /refuses a transaction: User rejected/, () => requestClose(chain, terms()))
})
