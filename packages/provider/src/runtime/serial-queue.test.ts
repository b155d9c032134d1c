import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SerialQueue } from './serial-queue.ts'

test('work under one key waits for what was given before, even where that fails; other keys do not', async () => {
  const queue = new SerialQueue()
  const order: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = queue.run('a', async () => {
    await gate.promise
    order.push('a1')
    throw new Error('first')
  })
  const second = queue.run('a', async () => void order.push('a2'))
  await queue.run('b', async () => void order.push('b1'))
  gate.resolve()
  await assert.rejects(first, /first/)
  await second
  assert.deepEqual(order, ['b1', 'a1', 'a2'])
})
