import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { Deadline } from './deadline.ts'

const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length

function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)))
}

test('a step that takes too long is aborted with a TimeoutError, and so is each one after it', async () => {
  using limit = new Deadline(20)
  const reason = (await limit.during(aborted)) as Error
  assert.equal(reason.name, 'TimeoutError')
  await limit.during(async (signal) => assert.equal(signal.aborted, true))
})

test('nothing is due between two steps, nor before the first', async () => {
  using limit = new Deadline(20)
  const later = () => new Promise((resolve) => setTimeout(resolve, 60))
  await later()
  await limit.during(async () => {})
  await later()
  assert.equal(limit.signal.aborted, false)
})

test('the limit counts anew from each restart, and ends with the reason that was given', async () => {
  const reason = new Error('too slow')
  using limit = new Deadline(200, { reason: () => reason })
  for (let i = 0; i < 6; i++) {
    limit.restart()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.equal(limit.signal.aborted, false)
  assert.equal(await aborted(limit.signal), reason)
})

test('another signal aborts it with its own reason, before as after', async () => {
  const other = new AbortController()
  using limit = new Deadline(60_000, { signals: [undefined, other.signal] })
  const ends = limit.during(aborted)
  other.abort('gone')
  assert.equal(await ends, 'gone')
  using late = new Deadline(60_000, { signals: [other.signal] })
  assert.deepEqual([late.signal.aborted, late.signal.reason], [true, 'gone'])
})

test('any number of steps has one timer and one listener, and none once it is disposed', async () => {
  const other = new AbortController()
  const before = timers()
  {
    using limit = new Deadline(60_000, { signals: [other.signal] })
    for (let i = 0; i < 10_000; i++) {
      await limit.during(async () => {})
      limit.restart()
    }
    assert.equal(timers(), before + 1)
    assert.equal(getEventListeners(other.signal, 'abort').length, 1)
  }
  assert.equal(timers(), before)
  assert.equal(getEventListeners(other.signal, 'abort').length, 0)
})

test('a disposed one stays silent', () => {
  const before = timers()
  const limit = new Deadline(60_000)
  limit[Symbol.dispose]()
  limit.restart()
  assert.equal(timers(), before)
})
