import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWorthClaiming } from './claim-policy.ts'
import { neededLevel } from './confirmation-policy.ts'

/** 3,000 tokens of 6 decimals for a coin; at 20 gwei a claim costs 4.5 tokens. */
const POLICY = { claimAtLeast: 100_000n, coinPrice: 3_000_000_000n, gasPercent: 5n }
const GWEI_20 = 20_000_000_000n

test('a claim is made when its gas is a small part of it, and not below the least', () => {
  const worth = (unclaimed: bigint, gasPrice = GWEI_20) =>
    isWorthClaiming(POLICY, { unclaimed, gasPrice, closing: false })
  assert.equal(worth(89_999_999n), false)
  assert.equal(worth(90_000_000n), true)
  assert.equal(worth(99_999n, 1n), false)
  assert.equal(worth(100_000n, 1n), true)
})

test('of a channel that closes everything above its gas is claimed', () => {
  const worth = (unclaimed: bigint) => isWorthClaiming(POLICY, { unclaimed, gasPrice: GWEI_20, closing: true })
  assert.equal(worth(4_500_000n), false)
  assert.equal(worth(4_500_001n), true)
})

test('without a price of the coin only the least counts, and nothing is never claimed', () => {
  const policy = { claimAtLeast: 100n, gasPercent: 5n }
  const worth = (unclaimed: bigint, closing: boolean) =>
    isWorthClaiming(policy, { unclaimed, gasPrice: GWEI_20, closing })
  assert.deepEqual(
    [worth(99n, false), worth(100n, false), worth(1n, true), worth(0n, true)],
    [false, true, true, false],
  )
})

test('the more a removed deposit would cost, the deeper it must be', () => {
  const policy = { finalitySeconds: 900, riskTolerance: 1_000_000n }
  const level = (ratePerHour: bigint) => neededLevel({ ratePerHour }, policy)
  assert.deepEqual([4_000_000n, 4_000_004n, 400_000_000n, 400_000_400n].map(level), [
    'latest',
    'safe',
    'safe',
    'finalized',
  ])
  assert.equal(neededLevel({ ratePerHour: 1n }, { finalitySeconds: 3600, riskTolerance: 0n }), 'finalized')
})
