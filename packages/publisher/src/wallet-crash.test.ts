/** Signers that send by themselves, and programs that die before they hear of it: nothing is paid twice. anvil holds the keys. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { externalSigner, type RequestProvider } from '@trusted-pods/protocol/chain/external-signer.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { type Hex, http } from 'viem'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { type CountingRpc, startCountingRpc } from '../../../test/support/counting-rpc.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { startFakeProvider } from '../../../test/support/fake-provider.ts'
import { attest } from './attest.ts'
import { fundChannel, openChannel } from './channel.ts'
import { dial } from './dial.ts'
import { fundLease } from './fund.ts'
import type { Lease, LeaseOf } from './lease.ts'
import { leaseProvider } from './offer.ts'
import { paymentFor } from './payment.ts'
import { type AgreedQuote, requestQuote } from './quote.ts'

const DEPOSIT = 50_000n
const CRASH = 'the program has died'

let dev: DevChain
let chain: Chain
let counting: CountingRpc
let quote: AgreedQuote
let terms: { provider: ReturnType<typeof leaseProvider> }
/** The next transaction is sent, and its hash reaches nobody. */
let dies = false
const sent: Hex[] = []
const stack = new AsyncDisposableStack()

before(async () => {
  dev = stack.use(await startDevChain())
  await dev.mint(0, 1_000_000n)
  const { request } = http(dev.anvil.rpc)({})
  const wallet: RequestProvider = {
    request: async (call) => {
      const answer = await request(call as never)
      if (call.method !== 'eth_sendTransaction') return answer
      sent.push(answer as Hex)
      if (dies) throw new Error(CRASH)
      return answer
    },
  }
  const account = externalSigner(wallet, dev.anvil.account(0).address)
  counting = stack.use(await startCountingRpc(dev.anvil.rpc))
  chain = await connectChain({ ...dev.config, rpc: [counting.rpc] }, { account, pollingIntervalMs: 20 })
  const { escrow, token, registry } = dev.config
  const provider = stack.use(
    await startFakeProvider({ escrow, token, registry, account: dev.anvil.account(1).address }),
  )
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  stack.defer(async () => node.stop())
  const attested = await attest(await dial(node, provider.offer), provider.policy)
  const resources = [{ $typeName: 'trustedpods.v0.Resource' as const, name: 'cpu', quantity: 500n, selector: '' }]
  quote = await requestQuote(attested, resources, paymentFor(provider.offer, chain))
  terms = { provider: leaseProvider(provider.offer) }
})
afterEach(async () => {
  dies = false
  sent.length = 0
  await dev.anvil.control.setAutomine(true)
  await dev.anvil.control.mine({ blocks: 1 })
})
after(() => stack.disposeAsync())

function opening(saved: Lease[]) {
  const leases = { save: async (lease: Lease) => void saved.push(lease) }
  return openChannel(chain, quote, {
    deposit: DEPOSIT,
    pod: new Uint8Array([1]),
    name: 'hello',
    simulated: true,
    leases,
    ...terms,
  })
}

const leases = { save: async () => undefined }
const depositOf = async ({ channel }: Lease) => (await readChannel(chain, channelId(channel.terms, channel)))?.deposited

for (const isMined of [true, false]) {
  test(`an opening whose hash was lost is found, and not sent again, ${isMined ? 'mined' : 'while it waits'}`, async () => {
    await dev.anvil.control.setAutomine(isMined)
    const saved: Lease[] = []
    dies = true
    await assertRefused('CHANNEL_WALLET', new RegExp(CRASH), () => opening(saved))
    dies = false
    const lease = saved[0] as LeaseOf<'opening'>
    const going = fundChannel(chain, lease, { leases })
    if (!isMined) await dev.anvil.control.mine({ blocks: 1 })
    const funded = await going
    assert.equal(funded.openTransaction, sent[0])
    assert.equal(sent.length, 1)
    assert.equal(await depositOf(lease), DEPOSIT)
  })
}

test('a top-up whose hash was lost is paid once, however often it is asked for', async () => {
  const funded = await opening([])
  const saved: Lease[] = []
  const keep = { save: async (lease: Lease) => void saved.push(lease) }
  dies = true
  await assertRefused('CHANNEL_WALLET', new RegExp(CRASH), () =>
    fundLease(chain, funded, { amount: 700n, leases: keep }),
  )
  dies = false
  const [pending] = saved
  assert.ok(pending?.channel.topUp, 'what was signed is stored before it is sent')
  const again = await fundLease(chain, pending, { amount: 700n, leases: keep })
  assert.equal(again.isEarlier, true)
  assert.equal(await depositOf(funded), DEPOSIT + 700n)
})

test('a top-up that waits in the wallet is asked for again under the same nonce of the token: the second can only fail', async () => {
  const funded = await opening([])
  const saved: Lease[] = []
  const keep = { save: async (lease: Lease) => void saved.push(lease) }
  await dev.anvil.control.setAutomine(false)
  dies = true
  await assertRefused('CHANNEL_WALLET', new RegExp(CRASH), () =>
    fundLease(chain, funded, { amount: 700n, leases: keep }),
  )
  dies = false
  await assertRefused('CHANNEL_SIGNATURE', /UsedAuthorization/, () =>
    fundLease(chain, saved[0] ?? funded, { amount: 700n, leases: keep }),
  )
  await dev.anvil.control.mine({ blocks: 1 })
  assert.equal(await depositOf(funded), DEPOSIT + 700n)
  const again = await fundLease(chain, saved[0] ?? funded, { amount: 700n, leases: keep })
  assert.equal(again.isEarlier, true)
})

test('a transaction that its owner cancels in the wallet is not taken for the opening', async () => {
  await dev.anvil.control.setAutomine(false)
  const { address } = dev.anvil.account(0)
  const nonce = await chain.public.getTransactionCount({ address })
  counting.reset()
  const going = assertRefused('CHANNEL_WALLET', /put another transaction in the place/, () => opening([]))
  // Only what was seen to wait can be seen to be replaced.
  while (counting.count('eth_getTransactionByHash') === 0) await new Promise(setImmediate)
  await chain.public.getBlockNumber()
  await dev.anvil.control.sendUnsignedTransaction({
    from: address,
    to: address,
    value: 0n,
    nonce,
    maxFeePerGas: 10n ** 12n,
    maxPriorityFeePerGas: 10n ** 12n,
  })
  await dev.anvil.control.mine({ blocks: 1 })
  await going
})
