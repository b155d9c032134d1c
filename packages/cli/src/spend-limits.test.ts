import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { parseLimits } from './spend-limits.ts'

let dev: DevChain
let chain: Chain
before(async () => {
  dev = await startDevChain()
  chain = await dev.connect(0)
})
after(() => dev[Symbol.asyncDispose]())

test('where nobody reads the plan, the announced price and the deposit that was asked for are the limits', async () => {
  const unattended = { unattended: true }
  assert.deepEqual(await parseLimits(chain, unattended), { maxRatePerHour: 'announced', maxDeposit: 'asked' })
  const maxPrice = '0.05'
  assert.deepEqual(await parseLimits(chain, { ...unattended, maxPrice }), {
    maxRatePerHour: 50_000n,
    maxDeposit: 'asked',
  })
  const maxDeposit = '2 tUSDC'
  assert.deepEqual(await parseLimits(chain, { ...unattended, maxDeposit }), {
    maxRatePerHour: 'announced',
    maxDeposit: 2_000_000n,
  })
})

test('a person who reads the plan is limited only by what they said', async () => {
  assert.deepEqual(await parseLimits(chain, { unattended: false }), {})
  const limits = await parseLimits(chain, { unattended: false, maxPrice: '1', maxDeposit: '0.000001' })
  assert.deepEqual(limits, { maxRatePerHour: 1_000_000n, maxDeposit: 1n })
})

test('an amount in another token, with too many digits, or none is refused', async () => {
  for (const text of ['1 EUR', '0.0000001', 'cheap', '-1', '']) {
    for (const flags of [{ maxPrice: text }, { maxDeposit: text }]) {
      await assert.rejects(
        parseLimits(chain, { ...flags, unattended: true }),
        (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_BAD_AMOUNT',
      )
    }
  }
})
