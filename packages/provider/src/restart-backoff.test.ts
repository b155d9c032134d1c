import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RestartBackoff } from './restart-backoff.ts'

test('the first restart is at once, the next wait 1, 2, 4 seconds and never over 5 minutes', () => {
  let now = 0
  const backoff = new RestartBackoff(() => now)
  for (const waitMs of [0, 1_000, 2_000, 4_000, 8_000]) {
    now += Math.max(0, waitMs - 1)
    if (waitMs > 0) assert.equal(backoff.allows('a'), false, `before ${waitMs}`)
    now += 1
    assert.equal(backoff.allows('a'), true, `after ${waitMs}`)
    backoff.attempted('a')
  }
  for (let i = 0; i < 20; i++) backoff.attempted('a')
  now += 5 * 60_000
  assert.equal(backoff.allows('a'), true)
})

test('a pod that ran steadily for ten minutes is restarted at once again; another pod is not held up', () => {
  let now = 0
  const backoff = new RestartBackoff(() => now)
  for (let i = 0; i < 5; i++) backoff.attempted('a')
  assert.equal(backoff.allows('b'), true)
  backoff.settled('a')
  assert.equal(backoff.allows('a'), false)
  now += 10 * 60_000
  backoff.settled('a')
  backoff.attempted('a')
  now += 1_000
  assert.equal(backoff.allows('a'), true)
})
