import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { fromAddress, ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { readChannel } from '@trusted-pods/protocol/chain/escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { QuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import type { PaymentTerms } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { PriceKind, type PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { type OpenedQuote, quoteDigest, signQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import type { Address } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { fundChannel, openChannel } from './channel.ts'
import type { Lease, LeaseOf } from './lease.ts'
import type { AgreedQuote } from './quote.ts'

const METER = privateKeyToAccount(generatePrivateKey())
const DEPOSIT = 50_000n

let dev: DevChain
let chain: Chain & { token: Address }
before(async () => {
  dev = await startDevChain()
  await dev.mint(0, 1_000_000n)
  chain = await dev.connect(0)
})
after(() => dev[Symbol.asyncDispose]())

async function agreed(changes: { payment?: Partial<PaymentTerms>; expiresAt?: Date } = {}): Promise<AgreedQuote> {
  const expiresAt = changes.expiresAt ?? new Date(Date.now() + 60_000)
  const quote = create(QuoteSchema, {
    resources: [{ name: 'cpu', quantity: 500n }],
    expiresAtMs: BigInt(expiresAt.getTime()),
    pricing: {
      chainId: 31_337n,
      token: fromAddress(chain.token),
      decimals: 6,
      symbol: 'tUSDC',
      prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
    },
    payment: {
      chainId: 31_337n,
      escrow: fromAddress(chain.escrow),
      provider: fromAddress(dev.anvil.account(1).address),
      meter: fromAddress(METER.address),
      ratePerHour: '22500',
      minUnlockDelaySeconds: 3600,
      minDeposit: '1000',
      relayMinDeposit: '',
      ...changes.payment,
    },
  })
  const signed = await signQuote(quote, { account: METER })
  const { pricing, payment } = quote as { pricing: PricingTable; payment: PaymentTerms }
  const opened: OpenedQuote = Object.assign(quote, { pricing, payment })
  return { signed, quote: opened, digest: await quoteDigest(signed), expiresAt, priceChanges: [] }
}

function parts(changes: { deposit?: bigint; save?: (lease: Lease) => Promise<void> } = {}) {
  const saved: Lease[] = []
  const save = changes.save ?? (async (lease: Lease) => void saved.push(lease))
  const provider = { account: dev.anvil.account(1).address, peerId: 'peer', multiaddrs: [], platformIds: [] }
  const pod = new TextEncoder().encode('pod')
  return {
    saved,
    options: { deposit: changes.deposit ?? DEPOSIT, pod, name: 'hello', provider, simulated: true, leases: { save } },
  }
}

function balance(): Promise<bigint> {
  return tokenBalance(chain, { token: chain.token, account: dev.anvil.account(0).address })
}

test('a channel is opened on the terms of the quote, and the lease was stored before', async () => {
  const { saved, options } = parts()
  const funded = await openChannel(chain, await agreed(), options)
  assert.deepEqual(
    saved.map(({ kind }) => kind),
    ['opening', 'funded'],
  )
  assert.equal(saved[0]?.id, funded.id)
  const { terms } = funded.channel
  assert.equal(terms.ratePerHour, 22_500n)
  assert.equal(terms.unlockDelay, 3600)
  assert.equal(terms.meter, METER.address)
  assert.equal(terms.voucherSigner, ZERO_ADDRESS)
  assert.equal((await readChannel(chain, channelId(terms, chain)))?.deposited, DEPOSIT)
  assert.equal((await chain.public.getTransactionReceipt({ hash: funded.openTransaction })).status, 'success')
})

test('money does not move when the lease cannot be stored', async () => {
  const before = await balance()
  const save = () => Promise.reject(new Error('the disk is full'))
  await assert.rejects(openChannel(chain, await agreed(), parts({ save }).options), /the disk is full/)
  assert.equal(await balance(), before)
})

test('a lease whose process died after the payment goes on without paying again', async () => {
  const { saved, options } = parts()
  const funded = await openChannel(chain, await agreed(), options)
  const before = await balance()
  const again = await fundChannel(chain, saved[0] as LeaseOf<'opening'>, { leases: options.leases })
  assert.equal(again.openTransaction, funded.openTransaction)
  assert.equal(await balance(), before)
})

test('a lease whose process died before the payment is paid once, by two that go on at the same time', async () => {
  const before = await balance()
  const opening: Lease[] = []
  const dying = parts({
    save: async (lease) => {
      opening.push(lease)
      throw new Error('killed')
    },
  })
  await assert.rejects(openChannel(chain, await agreed(), dying.options), /killed/)
  assert.equal(await balance(), before)
  const { options } = parts()
  const resume = async () =>
    fundChannel(await dev.connect(0), opening[0] as LeaseOf<'opening'>, { leases: options.leases })
  const outcomes = await Promise.allSettled([resume(), resume()])
  assert.ok(outcomes.some(({ status }) => status === 'fulfilled'))
  assert.equal((await resume()).kind, 'funded')
  assert.equal(await balance(), before - DEPOSIT)
})

test('an expired quote, a deposit below the least and an over-long unlock delay are refused before anything is stored', async () => {
  const expired = await agreed({ expiresAt: new Date(Date.now() - 1) })
  const slow = await agreed({ payment: { minUnlockDelaySeconds: 30 * 24 * 3600 } })
  const attempts: [AgreedQuote, bigint, ErrorCode][] = [
    [expired, DEPOSIT, 'QUOTE_EXPIRED'],
    [await agreed(), 999n, 'CHANNEL_UNDERFUNDED'],
    [slow, DEPOSIT, 'CHANNEL_BAD_TERMS'],
  ]
  for (const [quote, deposit, code] of attempts) {
    const { saved, options } = parts({ deposit })
    await assert.rejects(openChannel(chain, quote, options), hasCode(code))
    assert.deepEqual(saved, [])
  }
})

test('an empty wallet is told as such', async () => {
  const poor = await dev.connect(5)
  await assert.rejects(openChannel(poor, await agreed(), parts().options), hasCode('CHANNEL_NO_FUNDS'))
})

test("another wallet, or another chain's escrow, does not go on with a lease", async () => {
  const { saved, options } = parts()
  await openChannel(chain, await agreed(), options)
  const opening = saved[0] as LeaseOf<'opening'>
  await assert.rejects(fundChannel(await dev.connect(2), opening, options), hasCode('CHANNEL_WALLET'))
  const elsewhere = { ...opening, channel: { ...opening.channel, escrow: METER.address } }
  await assert.rejects(fundChannel(chain, elsewhere, options), hasCode('CHANNEL_WRONG_CHAIN'))
})

function hasCode(code: ErrorCode) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && !error.remote
}
