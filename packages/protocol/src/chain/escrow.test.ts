import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { type Address, type Hex, toHex } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { fromHex } from '../bytes.ts'
import { signClose } from '../channel/close.ts'
import { signReceipt } from '../channel/receipt.ts'
import { type ChannelTerms, channelId } from '../channel/terms.ts'
import { signVoucher } from '../channel/voucher.ts'
import type { ErrorCode } from '../errors.ts'
import { type Receipt, UsageSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import { PriceKind, PricingTableSchema } from '../gen/trustedpods/v0/pricing_pb.ts'
import { counters, ratePerHour } from '../pricing/price.ts'
import { ZERO_ADDRESS } from './address.ts'
import type { Chain } from './client.ts'
import * as escrow from './escrow.ts'
import { podEscrowAbi } from './gen/pod-escrow.ts'
import { tokenBalance } from './token.ts'

const METER = privateKeyToAccount(generatePrivateKey())
const RESOURCES = [{ name: 'cpu', quantity: 1000n, selector: '' }]
const TABLE = create(PricingTableSchema, {
  chainId: 31_337n,
  token: new Uint8Array(20),
  decimals: 6,
  symbol: 'tUSDC',
  prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
})
const RATE = ratePerHour(TABLE, RESOURCES)
const DEPOSIT = 1_000_000n
const HOUR = 3600
const UNLOCK_DELAY = 900

let dev: DevChain
let payer: Chain & { token: Address }
let provider: Chain & { token: Address }

before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 100n * DEPOSIT)
  payer = await dev.connect(0)
  provider = await dev.connect(1)
})
after(() => dev[Symbol.asyncDispose]())

test('the id that we compute is the one that the contract computes', async () => {
  const terms = newTerms()
  const args = { address: payer.escrow, abi: podEscrowAbi, functionName: 'channelIdOf', args: [terms] } as const
  assert.equal(channelId(terms, payer), await payer.public.readContract(args))
})

test('open, claim, settle and withdraw: the balances add up to the last unit', async () => {
  const start = await balances()
  const terms = newTerms()
  const nonce = await payer.public.getTransactionCount({ address: terms.payer })
  await escrow.openChannel(payer, terms, { deposit: DEPOSIT })
  assert.equal(
    await payer.public.getTransactionCount({ address: terms.payer }),
    nonce + 1,
    'permit and open are one transaction',
  )
  assert.deepEqual(await balances(), { ...start, payer: start.payer - DEPOSIT, escrow: start.escrow + DEPOSIT })

  await passTime(HOUR)
  await escrow.claim(provider, terms, { receipt: await receiptAfter(terms, 3000n) })
  assert.equal((await escrow.readChannel(payer, channelId(terms, payer)))?.claimed, 37_500n)
  assert.equal(await creditOf(provider, terms), 37_500n)

  await escrow.settleClose(provider, terms, { receipt: await receiptAfter(terms, 3600n) })
  const state = await escrow.readChannel(payer, channelId(terms, payer))
  assert.deepEqual([state?.closed, state?.deposited, state?.claimed], [true, DEPOSIT, 45_000n])
  assert.equal(await creditOf(provider, terms), 45_000n)
  assert.equal(await creditOf(payer, terms), DEPOSIT - 45_000n)

  await escrow.withdraw(provider, { token: terms.token })
  await escrow.withdraw(payer, { token: terms.token, amount: 5n })
  assert.equal(await creditOf(payer, terms), DEPOSIT - 45_005n)
  await escrow.withdraw(payer, { token: terms.token })
  assert.deepEqual(await balances(), { ...start, payer: start.payer - 45_000n, provider: start.provider + 45_000n })
})

test('the payer gets its money back without the provider after the unlock delay', async () => {
  const start = await balances()
  const terms = await openedTerms()
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /Locked\(0\)/, () => escrow.finalizeClose(payer, terms))
  await escrow.requestClose(payer, terms)
  const state = await escrow.readChannel(payer, channelId(terms, payer))
  assert.equal((state?.closeAt ?? 0) - (state?.accrualEnd ?? 0), UNLOCK_DELAY - 300)
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /Locked/, () => escrow.finalizeClose(payer, terms))
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /Locked/, () => escrow.requestClose(payer, terms))
  await passTime(UNLOCK_DELAY)
  await escrow.finalizeClose(provider, terms)
  await escrow.withdraw(payer, { token: terms.token })
  assert.deepEqual(await balances(), start)
  await assertRefused('CHANNEL_NOT_FOUND', /NotOpen/, () => escrow.finalizeClose(payer, terms))
})

test('what is owed when the payer asks to close is still claimed', async () => {
  const terms = await openedTerms()
  await passTime(HOUR)
  await escrow.requestClose(payer, terms)
  await escrow.settleClose(provider, terms, { receipt: await receiptAfter(terms, 3600n) })
  assert.equal((await escrow.readChannel(payer, channelId(terms, payer)))?.claimed, 45_000n)
  await withdrawAll(terms)
})

test('a claim is bounded by rate x elapsed time, whatever the meter signed', async () => {
  const terms = await openedTerms()
  await passTime(60)
  const cap = await escrow.accruedCap(provider, terms)
  assert.ok(cap >= (RATE * 60n) / 3600n && cap < (RATE * 90n) / 3600n, `${cap}`)
  const greedy = await receiptAfter(terms, 3600n)
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /OverCap/, () => escrow.claim(provider, terms, { receipt: greedy }))
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /OverCap/, () =>
    escrow.settleClose(provider, terms, { receipt: greedy }),
  )
  await escrow.claim(provider, terms, { receipt: await receiptAfter(terms, 3600n, cap) })
  assert.equal((await escrow.readChannel(payer, channelId(terms, payer)))?.claimed, cap)
  await escrow.settleClose(provider, terms)
  await withdrawAll(terms)
})

test('on an idle chain the cap is read, and a claim simulated, at the pending block', async () => {
  const terms = await openedTerms()
  await dev.anvil.control.increaseTime({ seconds: HOUR })
  const cap = await escrow.accruedCap(provider, terms)
  assert.ok(cap >= RATE, `the latest block is an hour old, the cap is ${cap}`)
  await escrow.claim(provider, terms, { receipt: await receiptAfter(terms, 3600n) })
  await escrow.settleClose(provider, terms)
  await withdrawAll(terms)
})

test('a receipt is claimed once, by its meter only, and never above the deposit', async () => {
  const terms = await openedTerms({ ratePerHour: 10n ** 12n })
  await passTime(HOUR)
  const receipt = await receiptAfter(terms, 3600n)
  const forged = await signReceipt(usage(terms, 3600n), {
    ...place(),
    account: privateKeyToAccount(generatePrivateKey()),
    terms,
    table: TABLE,
  })
  await assertRefused('CHANNEL_SIGNATURE', /BadSignature/, () => escrow.claim(provider, terms, { receipt: forged }))
  await escrow.claim(payer, terms, { receipt })
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /NothingNew\(45000\)/, () =>
    escrow.claim(provider, terms, { receipt }),
  )
  const tooMuch = await receiptAfter(terms, 10n ** 6n)
  await assertRefused('CHANNEL_UNDERFUNDED', /OverDeposit\(1000000\)/, () =>
    escrow.claim(provider, terms, { receipt: tooMuch }),
  )
  await escrow.settleClose(provider, terms, { receipt })
  assert.equal(
    (await escrow.readChannel(payer, channelId(terms, payer)))?.claimed,
    45_000n,
    'a claimed receipt is passed over in a settlement',
  )
  await withdrawAll(terms)
})

test('a voucher lifts the cap up to the deposit, a top-up lifts the deposit', async () => {
  const terms = await openedTerms()
  const voucher = await signVoucher(DEPOSIT + 5n, { ...place(), terms, account: dev.anvil.account(0) })
  await assertRefused('CHANNEL_UNDERFUNDED', /OverDeposit/, () => escrow.redeem(provider, terms, { voucher }))
  await escrow.topUp(payer, terms, { deposit: 10n })
  await escrow.redeem(provider, terms, { voucher })
  const forged = await signVoucher(DEPOSIT + 6n, { ...place(), terms, account: METER })
  await assertRefused('CHANNEL_SIGNATURE', /BadSignature/, () => escrow.redeem(provider, terms, { voucher: forged }))
  const state = await escrow.readChannel(payer, channelId(terms, payer))
  assert.deepEqual([state?.deposited, state?.claimed], [DEPOSIT + 10n, DEPOSIT + 5n])
  await escrow.settleClose(provider, terms)
  await withdrawAll(terms)
})

test('the payer closes at once with the agreement of the provider, and not without', async () => {
  const terms = await openedTerms()
  const { timestamp } = await payer.public.getBlock()
  const agreed = { cumulative: 7n, deadline: timestamp + 600n }
  const forged = await signClose(agreed, { ...place(), terms, account: dev.anvil.account(0) })
  await assertRefused('CHANNEL_SIGNATURE', /BadSignature/, () =>
    escrow.settleByAgreement(payer, terms, { close: forged }),
  )
  const late = await signClose(
    { ...agreed, deadline: timestamp - 1n },
    { ...place(), terms, account: dev.anvil.account(1) },
  )
  await assertRefused('CHANNEL_SIGNATURE', /Expired/, () => escrow.settleByAgreement(payer, terms, { close: late }))
  const close = await signClose(agreed, { ...place(), terms, account: dev.anvil.account(1) })
  await escrow.settleByAgreement(payer, terms, { close })
  assert.equal(await creditOf(provider, terms), 7n)
  assert.equal(await creditOf(payer, terms), DEPOSIT - 7n)
  await withdrawAll(terms)
})

test('an id is used once, closed or not', async () => {
  const terms = await openedTerms()
  await assertRefused('CHANNEL_IN_USE', /AlreadyOpen/, () => escrow.openChannel(payer, terms, { deposit: 1n }))
  await escrow.settleClose(provider, terms)
  await assertRefused('CHANNEL_IN_USE', /AlreadyOpen/, () => escrow.openChannel(payer, terms, { deposit: 1n }))
  await withdrawAll(terms)
})

test('a channel that was never opened reads as none', async () => {
  const terms = newTerms()
  assert.equal(await escrow.readChannel(payer, channelId(terms, payer)), undefined)
  assert.equal(await escrow.accruedCap(payer, terms), 0n)
  await assertRefused('CHANNEL_NOT_FOUND', /NotOpen/, () => escrow.requestClose(payer, terms))
  await assertRefused('CHANNEL_NOT_FOUND', /NotOpen/, () => escrow.topUp(payer, terms, { deposit: 1n }))
})

const OPENINGS: ReadonlyArray<
  [why: string, code: ErrorCode, message: RegExp, change: () => Partial<ChannelTerms>, deposit: bigint]
> = [
  ['an unlock delay of nothing', 'CHANNEL_BAD_TERMS', /BadTerms/, () => ({ unlockDelay: 0 }), 1n],
  ['an unlock delay of a year', 'CHANNEL_BAD_TERMS', /BadTerms/, () => ({ unlockDelay: 365 * 86_400 }), 1n],
  ['no provider', 'CHANNEL_BAD_TERMS', /BadTerms/, () => ({ provider: ZERO_ADDRESS }), 1n],
  ['another payer', 'CHANNEL_WALLET', /NotAuthorized/, () => ({ payer: dev.anvil.account(2).address }), 1n],
  ['no deposit', 'CHANNEL_NO_FUNDS', /ZeroAmount/, () => ({}), 0n],
  ['more than the wallet holds', 'CHANNEL_NO_FUNDS', /base units of token/, () => ({}), 10n ** 30n],
]

for (const [why, code, message, change, deposit] of OPENINGS) {
  test(`opening with ${why} is refused with ${code} and costs nothing`, async () => {
    const { address } = dev.anvil.account(0)
    const [before, nonce] = [await balances(), await payer.public.getTransactionCount({ address })]
    await assertRefused(code, message, () => escrow.openChannel(payer, { ...newTerms(), ...change() }, { deposit }))
    assert.deepEqual(await balances(), before)
    assert.equal(await payer.public.getTransactionCount({ address }), nonce)
  })
}

test('a withdrawal of nothing, or of more than the credit, is refused with CHANNEL_NO_FUNDS', async () => {
  const stranger = await dev.connect(5)
  await assertRefused('CHANNEL_NO_FUNDS', /ZeroAmount/, () => escrow.withdraw(stranger, { token: stranger.token }))
  await assertRefused('CHANNEL_NO_FUNDS', /OverCredit\(0\)/, () =>
    escrow.withdraw(stranger, { token: stranger.token, amount: 1n }),
  )
})

function place() {
  return { chainId: payer.chainId, escrow: payer.escrow }
}

function newTerms(): ChannelTerms {
  return {
    payer: dev.anvil.account(0).address,
    voucherSigner: ZERO_ADDRESS,
    provider: dev.anvil.account(1).address,
    meter: METER.address,
    token: payer.token,
    ratePerHour: RATE,
    unlockDelay: UNLOCK_DELAY,
    podId: toHex(crypto.getRandomValues(new Uint8Array(32))),
  }
}

async function openedTerms(change: Partial<ChannelTerms> = {}): Promise<ChannelTerms> {
  const terms = { ...newTerms(), ...change }
  await escrow.openChannel(payer, terms, { deposit: DEPOSIT })
  return terms
}

function usage(terms: ChannelTerms, runningSeconds: bigint) {
  const podId = fromHex(terms.podId) ?? new Uint8Array()
  return create(UsageSchema, { podId, counters: counters(RESOURCES, TABLE, runningSeconds), runningSeconds })
}

function receiptAfter(terms: ChannelTerms, runningSeconds: bigint, atMost?: bigint): Promise<Receipt> {
  const limit = atMost === undefined ? {} : { atMost }
  return signReceipt(usage(terms, runningSeconds), { ...place(), account: METER, terms, table: TABLE, ...limit })
}

async function passTime(seconds: number): Promise<void> {
  await dev.anvil.control.increaseTime({ seconds })
  await dev.anvil.control.mine({ blocks: 1 })
}

async function creditOf(chain: Chain, { token }: ChannelTerms): Promise<bigint> {
  return await escrow.credit(chain, { account: chain.wallet?.account.address ?? ZERO_ADDRESS, token })
}

async function withdrawAll(terms: ChannelTerms): Promise<void> {
  for (const chain of [payer, provider]) {
    if ((await creditOf(chain, terms)) > 0n) await escrow.withdraw(chain, { token: terms.token })
  }
  assert.equal((await balances()).escrow, 0n, 'nothing is left in the escrow')
}

async function balances(): Promise<Record<'payer' | 'provider' | 'escrow', bigint>> {
  const of = (account: Hex) => tokenBalance(payer, { token: payer.token, account })
  const [a, b, c] = await Promise.all([
    of(dev.anvil.account(0).address),
    of(dev.anvil.account(1).address),
    of(payer.escrow),
  ])
  return { payer: a, provider: b, escrow: c }
}
