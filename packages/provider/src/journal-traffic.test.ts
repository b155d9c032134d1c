import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Journal } from './journal.ts'

const POD = 'aa'.repeat(32)

function open(path = ':memory:') {
  const journal = new Journal(path)
  const bytes = new Uint8Array()
  const row = { publisher: 'p', idempotencyKey: POD, requestDigest: '', quote: bytes, channel: bytes }
  journal.insert({ podId: POD, termsPodId: POD, ...row, deposited: 1n, acceptedAtMs: 0 })
  const read = (epoch: string, egressBytes: bigint, ingressBytes = 0n) => {
    journal.traffic.add(POD, { epoch, egressBytes, ingressBytes })
    return journal.traffic.total(POD).egressBytes
  }
  return { journal, read }
}

test('a reading adds what came since the one before, and nothing when it is read again', () => {
  const { journal, read } = open()
  assert.deepEqual(journal.traffic.total(POD), { egressBytes: 0n, ingressBytes: 0n })
  assert.deepEqual([read('a', 100n), read('a', 100n), read('a', 250n, 7n)], [100n, 100n, 250n])
  assert.deepEqual(journal.traffic.total(POD), { egressBytes: 250n, ingressBytes: 7n })
})

test('counters that began anew count in full, whether they are above the last reading or below it', () => {
  const { read } = open()
  assert.deepEqual([read('a', 100n), read('b', 30n), read('c', 500n), read('c', 510n)], [100n, 130n, 630n, 640n])
  // One that fell under the same name was taken out of its set and put in again.
  assert.equal(read('c', 5n), 645n)
})

test('totals beyond 64 bits are kept', () => {
  const { read } = open()
  assert.equal(read('a', 2n ** 70n), 2n ** 70n)
})
