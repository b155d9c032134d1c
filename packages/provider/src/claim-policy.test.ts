import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ClaimPolicy, type ClaimSituation, chooseClaims } from './claim-policy.ts'
import { neededLevel } from './confirmation-policy.ts'
import { isExposed, latestClaimAt } from './unlock-window.ts'

/** 3,000 tokens of 6 decimals for a coin; at 20 gwei a claim costs 4.5 tokens. */
const POLICY = { claimAtLeast: 100_000n, coinPrice: 3_000_000_000n, gasPercent: 5n, claimEverySeconds: 86_400 }
const GWEI_20 = 20_000_000_000n

const QUIET = { closeAt: 0, unlockDelay: 21_600, secondsSinceClaim: 0 }

function claim(unclaimed: bigint, situation: Partial<ClaimSituation> = {}): ClaimSituation {
  return { ...QUIET, unclaimed, ...situation }
}

/** What each batch brings, claim by claim. */
function chosen(claims: readonly ClaimSituation[], gasPrice = GWEI_20, policy: ClaimPolicy = POLICY): bigint[][] {
  return chooseClaims(policy, claims, gasPrice).map((batch) => batch.map(({ unclaimed }) => unclaimed))
}

test('a claim is made when its gas is a small part of it, and not below the least', () => {
  assert.deepEqual(chosen([claim(89_999_999n)]), [])
  assert.deepEqual(chosen([claim(90_000_000n)]), [[90_000_000n]])
  assert.deepEqual(chosen([claim(99_999n)], 1n), [])
  assert.deepEqual(chosen([claim(100_000n)], 1n), [[100_000n]])
})

test('what is too little alone is enough for many, who share the gas of a transaction', () => {
  const five = Array.from({ length: 5 }, () => claim(45_000_000n))
  assert.deepEqual(chosen(five.slice(0, 1)), [])
  assert.deepEqual(chosen(five), [five.map(({ unclaimed }) => unclaimed)])
})

test('what will be due soon goes along with a batch, and is no reason for one', () => {
  const soon = claim(60_000n)
  assert.deepEqual(chosen([soon, soon], 1n), [])
  assert.deepEqual(chosen([soon, claim(100_000n), claim(49_999n)], 1n), [[100_000n, 60_000n]])
})

test('of a channel that closes everything above its gas is claimed, and before all others', () => {
  assert.deepEqual(chosen([claim(4_500_000n, { closeAt: 9 })]), [])
  assert.deepEqual(chosen([claim(4_500_001n, { closeAt: 9 })]), [[4_500_001n]])
  const closing = [claim(5_000_000n, { closeAt: 9 }), claim(6_000_000n, { closeAt: 7 })]
  assert.deepEqual(chosen([claim(900_000_000n), ...closing]), [[6_000_000n, 5_000_000n, 900_000_000n]])
})

test('after half an unlock delay, or the configured time, twice its gas is enough', () => {
  const [most, half] = [{ secondsSinceClaim: 10_800 }, { secondsSinceClaim: 10_799 }]
  assert.deepEqual(chosen([claim(9_000_000n, most)]), [[9_000_000n]])
  assert.deepEqual(chosen([claim(8_999_999n, most)]), [])
  assert.deepEqual(chosen([claim(9_000_000n, half)]), [])
  const often = { ...POLICY, claimEverySeconds: 600 }
  assert.deepEqual(chosen([claim(9_000_000n, { secondsSinceClaim: 600 })], GWEI_20, often), [[9_000_000n]])
})

test('a transaction takes a hundred claims', () => {
  const batches = chosen(
    Array.from({ length: 101 }, () => claim(100_000n)),
    0n,
  )
  assert.deepEqual(
    batches.map((batch) => batch.length),
    [100, 1],
  )
})

test('without a price of the coin only the least counts, and nothing is never claimed', () => {
  const policy = { claimAtLeast: 100n, gasPercent: 5n, claimEverySeconds: 86_400 }
  const worth = (unclaimed: bigint, closeAt: number) => chosen([claim(unclaimed, { closeAt })], GWEI_20, policy).length
  assert.deepEqual([worth(99n, 0), worth(100n, 0), worth(1n, 9), worth(0n, 9)], [0, 1, 1, 0])
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

test('a claim is handed in ten minutes before the refund; a chain unseen for longer than that exposes it', () => {
  assert.equal(latestClaimAt({ closeAt: 10_000 }), 9_400)
  assert.deepEqual([isExposed({ unlockDelay: 900 }, 300), isExposed({ unlockDelay: 900 }, 301)], [false, true])
})
