import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concatBytes } from '../bytes.ts'
import { ByteQueue } from './byte-queue.ts'

test('what goes in comes out in order, whatever the pieces', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.array(fc.nat(15)), (chunks, takes) => {
      const queue = new ByteQueue()
      for (const chunk of chunks) queue.push(chunk)
      const whole = concatBytes(...chunks)
      let taken = 0
      for (const want of takes) {
        const count = Math.min(want, queue.length)
        if (count > 0) assert.equal(queue.at(count - 1), whole[taken + count - 1])
        assert.deepEqual(queue.take(count), whole.slice(taken, taken + count))
        taken += count
      }
      assert.equal(queue.length, whole.length - taken)
    }),
  )
})

test('taking more than there is throws a RangeError and takes nothing', () => {
  const queue = new ByteQueue()
  queue.push(new Uint8Array(3))
  assert.throws(() => queue.take(4), RangeError)
  assert.throws(() => queue.at(3), RangeError)
  assert.equal(queue.length, 3)
})

test('a queue keeps no memory of what was pushed: the pusher may reuse it', () => {
  const queue = new ByteQueue()
  const piece = new Uint8Array(1)
  for (let i = 0; i < 5000; i++) {
    piece[0] = i % 251
    queue.push(piece)
  }
  assert.deepEqual(
    queue.take(5000),
    Uint8Array.from({ length: 5000 }, (_, i) => i % 251),
  )
})

test('a queue that is emptied by clear starts again', () => {
  const queue = new ByteQueue()
  queue.push(new Uint8Array(2000))
  queue.clear()
  assert.equal(queue.length, 0)
  queue.push(new Uint8Array([7]))
  assert.deepEqual([queue.at(0), queue.length], [7, 1])
})

test('large pieces come out whole, with and without room made before, and later pushes do not change them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ length: fc.nat(300_000), rest: fc.nat(70_000), reserve: fc.boolean() }), { maxLength: 6 }),
      (frames) => {
        const queue = new ByteQueue()
        const taken: { bytes: Uint8Array; fill: number }[] = []
        let before = 0
        for (const [i, { length, rest, reserve }] of frames.entries()) {
          const wanted = before + length
          if (reserve) queue.reserve(wanted)
          queue.push(new Uint8Array(length).fill(i + 1))
          queue.push(new Uint8Array(rest).fill(i + 101))
          const bytes = queue.take(wanted)
          taken.push({ bytes, fill: i + 1 })
          assert.equal(bytes.length, wanted)
          assert.equal(queue.length, rest)
          before = rest
        }
        for (const [i, { bytes, fill }] of taken.entries()) {
          const head = i === 0 ? 0 : (frames[i - 1]?.rest ?? 0)
          assert.ok(bytes.subarray(0, head).every((byte) => byte === i + 100))
          assert.ok(bytes.subarray(head).every((byte) => byte === fill))
        }
      },
    ),
    { numRuns: 30 },
  )
})
