/** Money without leases and without providers: what the key and the chain give back. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { openChannel, requestClose, settleClose } from '@trusted-pods/protocol/chain/escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { type Address, toHex } from 'viem'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../test/support/faulty-rpc.ts'
import { leaseFacts } from '../../../test/support/lease-fixture.ts'
import { fundLease } from './fund.ts'
import type { Lease } from './lease.ts'
import { findOwnChannels, withdrawAll } from './withdraw.ts'

const DEPOSIT = 1_000n

let dev: DevChain
let payer: Chain & { token: Address }
before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 100n * DEPOSIT)
  payer = await dev.connect(0)
})
after(() => dev[Symbol.asyncDispose]())

async function open(): Promise<ChannelTerms> {
  const terms: ChannelTerms = {
    payer: dev.anvil.account(0).address,
    voucherSigner: ZERO_ADDRESS,
    provider: dev.anvil.account(1).address,
    meter: dev.anvil.account(2).address,
    token: payer.token,
    ratePerHour: 3_600n,
    unlockDelay: 900,
    podId: toHex(crypto.getRandomValues(new Uint8Array(32))),
  }
  await openChannel(payer, terms, { deposit: DEPOSIT })
  return terms
}

function held(): Promise<bigint> {
  return tokenBalance(payer, { token: payer.token, account: dev.anvil.account(0).address })
}

const KEEP = { shouldClose: () => false }

test('channels that no record knows are found, closed, and their money is back, with the key alone', async () => {
  const before = await held()
  await open()
  await requestClose(payer, await open())
  await settleClose(await dev.connect(1), await open())
  assert.equal((await findOwnChannels(payer)).length, 2)

  const first = await withdrawAll(payer, { tokens: [payer.token], ...KEEP })
  assert.deepEqual([first.open.length, first.waiting.length, first.finalised.length], [1, 1, 0])
  assert.deepEqual(
    first.withdrawn.map(({ amount }) => amount),
    [DEPOSIT],
  )

  const second = await withdrawAll(payer, { tokens: [payer.token], shouldClose: () => true })
  assert.deepEqual([second.open.length, second.waiting.length, second.withdrawn.length], [0, 2, 0])
  await dev.anvil.control.increaseTime({ seconds: 901 })
  await dev.anvil.control.mine({ blocks: 1 })

  const third = await withdrawAll(payer, { tokens: [payer.token], ...KEEP })
  assert.deepEqual([third.finalised.length, third.withdrawn.map(({ amount }) => amount)], [2, [2n * DEPOSIT]])
  assert.equal(await held(), before)
  const again = await withdrawAll(payer, { tokens: [payer.token], ...KEEP })
  assert.deepEqual(again, { finalised: [], waiting: [], open: [], withdrawn: [] })
})

test('an endpoint that gives few blocks at once is asked in pieces', async () => {
  await using limited = await startFaultyRpc(dev.anvil.rpc)
  await open()
  await dev.anvil.control.mine({ blocks: 300 })
  limited.limitLogs(100n)
  const chain = await connectChain({ ...dev.config, rpc: [limited.rpc] }, { account: dev.anvil.account(0) })
  assert.deepEqual(await findOwnChannels(chain), await findOwnChannels(payer))
})

test('a lease is funded, and its record has the new deposit', async () => {
  const terms = await open()
  const facts = leaseFacts({ payer: terms.payer })
  const channel = { ...facts.channel, chainId: BigInt(payer.chainId), escrow: payer.escrow, terms, deposit: DEPOSIT }
  const lease: Lease = { ...facts, id: terms.podId.slice(2), channel, kind: 'running', openTransaction: '0x' }
  const saved: Lease[] = []
  const leases = { save: async (lease: Lease) => void saved.push(lease) }
  const { lease: funded } = await fundLease(payer, lease, { amount: 500n, leases })
  assert.deepEqual([funded.channel.deposit, saved[0]?.channel.deposit], [DEPOSIT + 500n, DEPOSIT + 500n])
  await requestClose(payer, terms)
  await assertRefused('CHANNEL_CLOSING', /takes no more funds/, () => fundLease(payer, lease, { amount: 1n, leases }))
  const ended: Lease = { ...lease, kind: 'closing', closeAt: new Date(), reason: '' }
  await assertRefused('STATUS_NOT_RUNNING', /takes no more funds/, () =>
    fundLease(payer, ended, { amount: 1n, leases }),
  )
})
