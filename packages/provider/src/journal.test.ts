import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { Journal, type NewPod } from './journal.ts'

function withJournal(run: (journal: Journal, path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'journal-'))
  const path = join(folder, 'journal.sqlite')
  try {
    using journal = new Journal(path)
    run(journal, path)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function newPod(fields: Partial<NewPod> = {}): NewPod {
  return {
    podId: 'aa'.repeat(32),
    publisher: 'publisher-1',
    idempotencyKey: '11'.repeat(16),
    requestDigest: 'dd'.repeat(32),
    pod: new Uint8Array([1, 2, 3]),
    quote: new Uint8Array([4]),
    termsPodId: 'cc'.repeat(32),
    channel: new Uint8Array([5]),
    deposited: 10n ** 30n,
    acceptedAtMs: 1_000,
    devices: [{ id: 'a', model: 'H100', access: { kind: 'nvidia', id: '0' }, container: 'web' }],
    ...fields,
  }
}

test('a pod is read back as it was written, money beyond 64 bits included, and the file is for its owner alone', () => {
  withJournal((journal, path) => {
    journal.insert(newPod())
    const { phase, claimed, fetchedBytes, images, ...rest } = journal.pod('aa'.repeat(32)) ?? assert.fail('no row')
    assert.deepEqual(rest, newPod())
    assert.deepEqual([phase, claimed, fetchedBytes, images], ['accepted', 0n, 0, []])
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })
})

test('each change is kept over a restart; what ended forgets its manifest', () => {
  withJournal((journal, path) => {
    journal.insert(newPod())
    journal.change('aa'.repeat(32), { phase: 'running', images: ['a', 'b'], claimed: 7n, shortOfFundsAtMs: 5 })
    journal.change('aa'.repeat(32), { shortOfFundsAtMs: null })
    journal.change('aa'.repeat(32), {
      phase: 'stopped',
      reason: { code: 'x', message: 'y' },
      endedAtMs: 9,
      forget: true,
    })
    using again = new Journal(path)
    const row = again.pod('aa'.repeat(32)) ?? assert.fail('no row')
    assert.deepEqual(
      [row.phase, row.images, row.claimed, row.pod, row.shortOfFundsAtMs],
      ['stopped', ['a', 'b'], 7n, undefined, undefined],
    )
    assert.deepEqual(row.reason, { code: 'x', message: 'y' })
    assert.deepEqual(
      again.unsettled().map(({ podId }) => podId),
      ['aa'.repeat(32)],
    )
    again.change('aa'.repeat(32), { settlement: '0x01' })
    assert.deepEqual(again.unsettled(), [])
  })
})

test('one channel, one idempotency key and one pod id of a publisher belong to one pod', () => {
  withJournal((journal) => {
    journal.insert(newPod())
    const other = { podId: 'bb'.repeat(32), idempotencyKey: '22'.repeat(16), termsPodId: 'ee'.repeat(32) }
    const { podId, idempotencyKey, termsPodId } = newPod()
    assert.throws(() => journal.insert(newPod({ ...other, podId })), { code: 'CHANNEL_IN_USE' })
    assert.throws(() => journal.insert(newPod({ ...other, idempotencyKey })), { code: 'PROVISION_KEY_REUSED' })
    assert.throws(() => journal.insert(newPod({ ...other, termsPodId })), { code: 'PROVISION_BAD_REQUEST' })
    journal.insert(newPod({ ...other, idempotencyKey, termsPodId, publisher: 'publisher-2' }))
    assert.equal(journal.byTermsPodId('publisher-2', termsPodId)?.podId, other.podId)
    assert.equal(journal.byTermsPodId('publisher-1', termsPodId)?.podId, podId)
  })
})

test('a phase is left only from where it may be, and the first reason stays', () => {
  withJournal((journal) => {
    journal.insert(newPod())
    const { podId } = newPod()
    assert.equal(journal.advance(podId, ['starting'], 'running'), undefined)
    assert.equal(journal.pod(podId)?.phase, 'accepted')
    journal.advance(podId, ['accepted'], 'stopping', { reason: { code: 'a', message: 'first' } })
    journal.advance(podId, ['stopping'], 'stopping', { reason: { code: 'b', message: 'second' } })
    assert.equal(journal.advance(podId, ['starting'], 'running'), undefined)
    assert.deepEqual(journal.pod(podId)?.reason, { code: 'a', message: 'first' })
  })
})

test('what is forgotten is on the disk no more', () => {
  withJournal((journal, path) => {
    const secret = 'a secret that must not stay on the disk'.repeat(100)
    journal.insert(newPod({ pod: new TextEncoder().encode(secret) }))
    for (const phase of ['fetching', 'opening', 'starting', 'running'] as const)
      journal.change(newPod().podId, { phase })
    journal.change(newPod().podId, { phase: 'stopped', forget: true })
    for (const file of [path, `${path}-wal`]) assert.equal(readFileSync(file).includes('must not stay'), false, file)
  })
})

test('an interval is only ever lengthened, and the newest receipt is the one that is kept', () => {
  withJournal((journal) => {
    journal.insert(newPod())
    const id = newPod().podId
    journal.putInterval(id, 0, { bootId: 'b', fromMs: 100, toMs: 100 })
    journal.putInterval(id, 0, { bootId: 'b', fromMs: 900, toMs: 900 })
    journal.putInterval(id, 0, { bootId: 'b', fromMs: 500, toMs: 500 })
    assert.deepEqual(journal.intervals(id), [{ bootId: 'b', fromMs: 100, toMs: 900 }])
    assert.equal(journal.lastReceipt(id), undefined)
    journal.putReceipt(id, 5n, new Uint8Array([1]))
    journal.putReceipt(id, 2n ** 100n, new Uint8Array([2]))
    journal.putReceipt(id, 9n, new Uint8Array([3]))
    assert.deepEqual(journal.lastReceipt(id), { cumulative: 2n ** 100n, receipt: new Uint8Array([2]) })
  })
})

test('a file of a newer version is refused with PLATFORM_STATE and left as it is', () => {
  withJournal((_, path) => {
    new DatabaseSync(path).exec('PRAGMA user_version = 99')
    assert.throws(() => new Journal(path), { code: 'PLATFORM_STATE', message: /version 99/ })
  })
})
