import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { holdLock } from './start-lock.ts'

const skip = process.platform !== 'linux' && 'needs Linux'

test('one holds a name at a time; another name is free', { skip }, async () => {
  const name = randomUUID()
  const order: string[] = []
  const first = await holdLock(name, {})
  const second = holdLock(name, {}).then(async (lock) => {
    order.push('second')
    await lock[Symbol.asyncDispose]()
  })
  await using _other = await holdLock(randomUUID(), {})
  order.push('first')
  await first[Symbol.asyncDispose]()
  await second
  assert.deepEqual(order, ['first', 'second'])
})

test('who waits can be told to stop', { skip }, async () => {
  const name = randomUUID()
  await using _lock = await holdLock(name, {})
  await assert.rejects(holdLock(name, { signal: AbortSignal.timeout(50) }))
})
