import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { ReceiptSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { inPhase } from '@trusted-pods/publisher/lease.ts'
import { fundedLease } from '../../../test/support/lease-fixture.ts'
import { openLeaseFiles } from './lease-store.ts'

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tp-leases-'))
  t.after(() => rm(folder, { recursive: true }))
  return join(folder, 'leases')
}

const ended = { kind: 'ended', endedAt: new Date(), paid: 1n, refund: 2n, reason: 'stopped' } as const

test('a lease is kept in a file that its owner alone can read, and replaced by its next phase', async (t) => {
  const folder = await newFolder(t)
  const leases = openLeaseFiles(folder)
  assert.deepEqual(await leases.list(), { leases: [], problems: [] })
  const lease = fundedLease()
  await leases.save(lease)
  assert.equal((await stat(join(folder, `${lease.id}.json`))).mode & 0o777, 0o600)
  assert.equal((await leases.find(lease.id)).kind, 'funded')
  await leases.save(inPhase(lease, ended))
  assert.equal((await leases.find(lease.id)).kind, 'ended')
  assert.equal(leases.lastSaved?.kind, 'ended')
  assert.deepEqual(await readdir(folder), [`${lease.id}.json`])
})

test('a lease is found by its id, the beginning of it, or its name', async (t) => {
  const leases = openLeaseFiles(await newFolder(t))
  const [one, two] = [fundedLease({ name: 'one' }), fundedLease({ name: 'two' })]
  await leases.save(one)
  await leases.save(two)
  for (const reference of [one.id, one.id.slice(0, 8), 'one']) assert.equal((await leases.find(reference)).id, one.id)
  await assert.rejects(leases.find(one.id.slice(0, 3)), isUnknown(/there is no lease/))
  await assert.rejects(leases.find('three'), isUnknown(/there is no lease three/))
  await assert.rejects(leases.only(), isUnknown(/2 leases have not ended/))
})

test('a name that two live leases have is ambiguous; ended ones do not count', async (t) => {
  const leases = openLeaseFiles(await newFolder(t))
  const [one, two] = [fundedLease({ name: 'web' }), fundedLease({ name: 'web' })]
  await leases.save(one)
  await leases.save(two)
  await assert.rejects(leases.find('web'), isUnknown(new RegExp(`2 leases are called web: .*${one.id.slice(0, 12)}`)))
  await leases.save(inPhase(one, ended))
  assert.equal((await leases.find('web')).id, two.id)
  assert.equal((await leases.only()).id, two.id)
})

test('the newest comes first; a file that cannot be read is told and hides no other', async (t) => {
  const folder = await newFolder(t)
  const leases = openLeaseFiles(folder)
  const [old, young] = [
    fundedLease({ createdAt: new Date('2026-01-01') }),
    fundedLease({ createdAt: new Date('2026-02-01') }),
  ]
  await leases.save(old)
  await leases.save(young)
  await writeFile(join(folder, 'broken.json'), '{', { mode: 0o600 })
  await writeFile(join(folder, 'half.json.123'), '{', { mode: 0o600 })
  await leases.save(fundedLease({ createdAt: new Date('2025-01-01') }))
  await chmod(join(folder, `${old.id}.json`), 0o644)
  const { leases: listed, problems } = await leases.list()
  assert.equal(listed[0]?.id, young.id)
  assert.equal(listed.length, 2)
  assert.equal(problems.length, 2)
  assert.match(problems.join(), /broken\.json.*no JSON/)
  assert.match(problems.join(), /mode 644, 600 is wanted/)
})

test('a lease whose file cannot be read is not called unknown without a word, and what belongs to it is not abandoned', async (t) => {
  const folder = await newFolder(t)
  const leases = openLeaseFiles(folder)
  const lease = fundedLease({ name: 'web' })
  await leases.save(lease)
  await chmod(join(folder, `${lease.id}.json`), 0o644)
  const message = /there is no lease .*, as far as its files can be read: .*mode 644, 600 is wanted/
  await assert.rejects(leases.find(lease.id), isUnknown(message))
  await assert.rejects(leases.only(), isUnknown(message))
  assert.deepEqual(await leases.ids(), [lease.id])
})

test('the newest receipt lies beside its lease and leaves the record as it is; a damaged one is none', async (t) => {
  const folder = await newFolder(t)
  const { receipts, ...leases } = openLeaseFiles(folder)
  const lease = fundedLease()
  await leases.save(lease)
  const receipt = create(ReceiptSchema, { cumulative: '7', usage: new Uint8Array([1]) })
  assert.equal(await receipts.load(lease.id), undefined)
  await receipts.save(lease.id, create(ReceiptSchema, { cumulative: '6' }))
  await receipts.save(lease.id, receipt)
  assert.deepEqual(await openLeaseFiles(folder).receipts.load(lease.id), receipt)
  assert.deepEqual((await leases.list()).problems, [])
  assert.equal((await leases.find(lease.id)).kind, 'funded')
  await writeFile(join(folder, `${lease.id}.receipt`), new Uint8Array([0xff]))
  assert.equal(await receipts.load(lease.id), undefined)
})

test('what was proven lies beside its lease too; damaged, cut off or of another form it is none', async (t) => {
  const folder = await newFolder(t)
  const { evidence, verdicts, ...leases } = openLeaseFiles(folder)
  const lease = fundedLease()
  await leases.save(lease)
  const expected = { nonce: new Uint8Array(32), publisherPeerId: new Uint8Array(1), providerPeerId: new Uint8Array(1) }
  await evidence.save(lease.id, { evidence: create(EvidenceSchema), expected, receivedAt: new Date() })
  assert.deepEqual((await evidence.load(lease.id))?.expected, { ...expected, platformIds: [] })
  for (const text of ['', '{', '[]', '{"format":"trusted-pods/evidence"}', '\uffff']) {
    await writeFile(join(folder, `${lease.id}.evidence`), text)
    await writeFile(join(folder, `${lease.id}.verdict`), text, { mode: 0o600 })
    assert.equal(await evidence.load(lease.id), undefined)
    assert.equal(await verdicts.load(lease.id), undefined)
  }
})

function isUnknown(message: RegExp) {
  return (error: unknown) =>
    error instanceof TrustedPodsError && error.code === 'STATUS_UNKNOWN_POD' && message.test(error.message)
}
