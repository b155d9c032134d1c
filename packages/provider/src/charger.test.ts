/** The provider's money on a real chain, with a boot clock that the test moves. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Chain, connectChain } from '@trusted-pods/protocol/chain/client.ts'
import { credit, requestClose, settleClose, topUp } from '@trusted-pods/protocol/chain/escrow.ts'
import { mintTestToken, tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { signVoucher } from '@trusted-pods/protocol/channel/voucher.ts'
import { toHex } from 'viem'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../test/support/faulty-rpc.ts'
import { DEPOSIT, GRACE_MS, KEEP_MS, METER, openPaidPods } from '../../../test/support/paid-pods.ts'
import { quoteOf } from './quoted.ts'

let dev: DevChain
let payer: Chain & { token: `0x${string}` }
let provider: Chain & { token: `0x${string}` }

before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 100n * DEPOSIT)
  payer = await dev.connect(0)
  provider = await dev.connect(1)
})
after(() => dev[Symbol.asyncDispose]())

async function startPod({ chain = provider as Chain } = {}) {
  const pods = openPaidPods(dev, { chain, payer })
  return { ...pods, ...(await pods.startPod()) }
}

/** What the provider has, in its wallet and in the escrow's ledger. */
async function earned(): Promise<bigint> {
  const of = { token: dev.config.token, account: dev.anvil.account(1).address }
  return (await tokenBalance(payer, of)) + (await credit(payer, of))
}

test('nothing is claimed below the threshold; above it, what is owed, and once', async () => {
  const { podId, pass, state, round } = await startPod()
  await pass(10)
  assert.deepEqual(await round(podId), { kind: 'go-on' })
  assert.equal((await state()).claimed, 0n)
  await pass(90)
  await round(podId)
  assert.equal((await state()).claimed, 3_600n)
  await round(podId)
  assert.equal((await state()).claimed, 3_600n)
})

test('settling claims the rest, closes the channel, and leaves the refund to the payer', async () => {
  const before = await earned()
  const { podId, journal, meter, pass, state, settler } = await startPod()
  await pass(5)
  meter.stop(podId)
  journal.change(podId, { phase: 'stopped' })
  await settler.settle(podId)
  const { claimed, closed } = await state()
  assert.deepEqual([claimed, closed], [180n, true])
  assert.equal((await earned()) - before, 180n)
  assert.match(journal.pod(podId)?.settlement ?? '', /^0x[0-9a-f]{64}$/)
  await settler.settle(podId)
  assert.equal((await earned()) - before, 180n)
})

test('a close request of the payer is claimed at once, whatever the threshold, and ends the pod', async () => {
  const { podId, terms, pass, state, round } = await startPod()
  await pass(10)
  await requestClose(payer, terms)
  const verdict = await round(podId)
  assert.equal(verdict.kind === 'end' && verdict.code, 'close-requested')
  assert.equal((await state()).claimed, 360n)
})

test('a deposit that is used up suspends the pod after the grace, and a top-up within it does not', async (t) => {
  const { podId, terms, journal, charger, pass, round } = await startPod()
  await pass(3_000)
  assert.deepEqual(await round(podId), { kind: 'go-on' })
  const since = journal.pod(podId)?.shortOfFundsAtMs ?? assert.fail('not noticed')
  const row = journal.pod(podId) ?? assert.fail('no pod')
  assert.equal(charger.funds(row).suspendedAtMs, BigInt(since + GRACE_MS))
  await topUp(payer, terms, { deposit: DEPOSIT })
  assert.deepEqual(await round(podId), { kind: 'go-on' })
  assert.equal(journal.pod(podId)?.shortOfFundsAtMs, undefined)
  await pass(3_000)
  await round(podId)
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + GRACE_MS + 1 })
  assert.deepEqual(await round(podId), { kind: 'suspend', why: 'funds-exhausted' })
})

test('a pod that is suspended for want of funds goes on after a top-up, and ends when its data was kept long enough', async (t) => {
  const { podId, terms, journal, meter, pass, round } = await startPod()
  await pass(3_000)
  await round(podId)
  meter.stop(podId)
  journal.change(podId, { phase: 'suspended', suspension: { why: 'funds-exhausted', sinceMs: Date.now() } })
  assert.deepEqual(await round(podId), { kind: 'go-on' })
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + KEEP_MS + 1 })
  const verdict = await round(podId)
  assert.equal(verdict.kind === 'end' && verdict.code, 'funds-exhausted')
  t.mock.timers.reset()
  await topUp(payer, terms, { deposit: DEPOSIT })
  assert.deepEqual(await round(podId), { kind: 'resume' })
})

/** Opened in the newest block, so that a reorganisation of one block removes the deposit. */
async function reorganise(depth: number): Promise<void> {
  await dev.anvil.control.request({ method: 'anvil_reorg' as never, params: [depth, []] as never })
}

test('a reorganisation that removes the deposit suspends the pod, and the opening that is sent again lets it go on', async () => {
  const { podId, journal, meter, state, round } = await startPod()
  await reorganise(1)
  await assert.rejects(state)
  await dev.anvil.control.setAutomine(false)
  try {
    assert.deepEqual(await round(podId), { kind: 'suspend', why: 'deposit-missing' })
    meter.stop(podId)
    journal.change(podId, { phase: 'suspended', suspension: { why: 'deposit-missing', sinceMs: Date.now() } })
    assert.deepEqual(await round(podId), { kind: 'go-on' })
    await dev.anvil.control.mine({ blocks: 1 })
  } finally {
    await dev.anvil.control.setAutomine(true)
  }
  assert.equal((await state()).deposited, DEPOSIT)
  assert.deepEqual(await round(podId), { kind: 'resume' })
})

test('a deposit that does not come back after a reorganisation ends the pod once patience is over', async (t) => {
  const { podId, journal, meter, round } = await startPod()
  // The payer spends the nonce of the opening on something else: it can never be mined again.
  await reorganise(1)
  await payer.wallet?.inTurn(async () => undefined)
  await mintTestToken(payer, { token: payer.token, to: payer.token, amount: 1n })
  meter.stop(podId)
  journal.change(podId, { phase: 'suspended', suspension: { why: 'deposit-missing', sinceMs: Date.now() } })
  assert.deepEqual(await round(podId), { kind: 'go-on' })
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + KEEP_MS + 1 })
  const verdict = await round(podId)
  assert.equal(verdict.kind === 'end' && verdict.code, 'deposit-missing')
})

test('a channel that an endpoint does not show, on the same chain as before, changes nothing', async () => {
  const { podId, journal, charger } = await startPod()
  const view = await charger.look([podId])
  assert.ok(view)
  assert.deepEqual(await charger.review(podId, { ...view, states: new Map() }), { kind: 'go-on' })
  assert.equal(journal.pod(podId)?.phase, 'running')
})

test('a settlement that a reorganisation took back is made again', async () => {
  const { podId, journal, meter, pass, state, settler } = await startPod()
  await pass(5)
  meter.stop(podId)
  journal.change(podId, { phase: 'stopped' })
  await settler.settle(podId)
  // The withdrawal of the earnings is the last block, the settlement the one before.
  await reorganise(2)
  assert.equal((await state()).closed, false)
  await settler.checkSettled(journal.settledLately())
  assert.deepEqual(
    journal.unsettled().map((row) => row.podId),
    [podId],
  )
  await settler.settle(podId)
  assert.deepEqual([(await state()).claimed, (await state()).closed], [180n, true])
  await dev.anvil.control.mine({ blocks: 70 })
  await settler.checkSettled(journal.settledLately())
  assert.deepEqual(journal.settledLately(), [])
})

test('what is owed above the cap is asked for, and taken by a voucher of the payer alone', async () => {
  const { podId, terms, journal, charger, meter, state, passHere, round } = await startPod()
  passHere(100)
  await meter.receipt(journal.pod(podId) ?? assert.fail('no pod'), quoteOf(journal.pod(podId) ?? assert.fail('no pod')))
  await round(podId)
  const row = () => journal.pod(podId) ?? assert.fail('no pod')
  assert.equal(charger.funds(row()).voucherWanted, '3600')
  const place = { terms, chainId: payer.chainId, escrow: payer.escrow }
  const forged = await signVoucher(3_600n, { ...place, account: METER })
  await assertRefused('CHANNEL_SIGNATURE', /the voucher was signed by/, () => charger.keepVoucher(podId, forged))
  const account = dev.anvil.account(0)
  const high = await signVoucher(3_601n, { ...place, account })
  await assertRefused('CHANNEL_BAD_AMOUNT', /owed are 3600/, () => charger.keepVoucher(podId, high))
  await charger.keepVoucher(podId, await signVoucher(3_600n, { ...place, account }))
  assert.equal(charger.funds(row()).voucherWanted, '')
  await round(podId)
  assert.equal((await state()).claimed, 3_600n)
})

test('a thousand channels are looked at and judged in ten requests', async () => {
  const requests: string[] = []
  await using counting = await startFaultyRpc(dev.anvil.rpc, { onRequest: (method) => void requests.push(method) })
  const chain = await connectChain({ ...dev.config, rpc: [counting.rpc] }, { account: dev.anvil.account(1) })
  const { podId, charger } = await startPod({ chain })
  const strangers = Array.from({ length: 999 }, () => toHex(crypto.getRandomValues(new Uint8Array(32))).slice(2))
  requests.length = 0
  const view = await charger.look([podId, ...strangers])
  assert.deepEqual([...(view?.states.keys() ?? [])], [podId])
  assert.ok(requests.length <= 10, requests.join(' '))
})

test('a channel that is closed ends the pod', async () => {
  const { podId, terms, round } = await startPod()
  await settleClose(provider, terms)
  const verdict = await round(podId)
  assert.equal(verdict.kind === 'end' && verdict.code, 'channel-closed')
})

for (const fault of ['status-500', 'truncated', 'not-json', 'hang-up'] as const) {
  test(`an RPC endpoint that answers with ${fault} ends no pod and loses no claim`, async () => {
    await using proxy = await startFaultyRpc(dev.anvil.rpc)
    const chain = await connectChain(
      { ...dev.config, rpc: [proxy.rpc] },
      { account: dev.anvil.account(1), pollingIntervalMs: 20 },
    )
    const { podId, journal, meter, pass, state, round, settler } = await startPod({ chain })
    await pass(100)
    proxy.fail(fault)
    assert.deepEqual(await round(podId), { kind: 'go-on' })
    assert.equal(journal.pod(podId)?.phase, 'running')
    meter.stop(podId)
    journal.change(podId, { phase: 'stopped' })
    await settler.settle(podId)
    assert.equal(journal.pod(podId)?.settlement, undefined)
    proxy.fail('pass')
    await settler.settle(podId)
    assert.deepEqual([(await state()).claimed, (await state()).closed], [3_600n, true])
  })
}
