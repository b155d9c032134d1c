/** The differential run must fail on a difference without explanation, and on an explanation without difference. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { compare, findDifference, isAcceptedByUsAlone } from '../../scripts/differential/compare.ts'
import { DCAP_QVL_DIFFERENCES } from '../../scripts/differential/dcap-qvl-differences.ts'

const bytes = new Uint8Array(32)
const expected = { nonce: bytes, publisherPeerId: bytes, providerPeerId: bytes }
const refused = await appraise(create(EvidenceSchema), { policy: STRICT_POLICY, now: new Date(0), expected })
const tcb = { status: 'UpToDate' as const, date: new Date(0), advisories: [], evaluationNumber: 1 }

test('a verdict and an answer that say the same are no difference', () => {
  assert.equal(findDifference('a', refused, { refusal: 'No matching TCB level found' }), undefined)
  assert.equal(findDifference('a', { ...refused, tcb }, { refusal: 'QE report hash mismatch' }), undefined)
  const accepted = { ...refused, tcb, tier: 'warning' as const }
  assert.equal(findDifference('a', accepted, { status: 'UpToDate', advisories: [] }), undefined)
})

test('acceptance, status and advisories are each a difference', () => {
  const upToDate = { status: 'UpToDate', advisories: [] }
  const find = (answer: Parameters<typeof findDifference>[2]) => findDifference('a', { ...refused, tcb }, answer)
  assert.deepEqual(find(upToDate), { id: 'a', ours: 'refused, UpToDate', theirs: 'accepted, UpToDate' })
  assert.equal(find({ status: 'OutOfDate', advisories: [] })?.theirs, 'refused, OutOfDate')
  assert.equal(
    find({ status: 'UpToDate', advisories: ['INTEL-SA-2', 'INTEL-SA-1'] })?.theirs,
    'accepted, UpToDate INTEL-SA-1 INTEL-SA-2',
  )
  assert.equal(find({ refusal: 'TCB status is invalid: Revoked' })?.theirs, 'refused, Revoked')
  assert.equal(find({ refusal: 'No matching TCB level found' })?.theirs, 'refused, no level')
})

test('what we alone accept is told from what both do, and from what we alone refuse', () => {
  const accepted = { ...refused, tier: 'warning' as const }
  const [good, bad] = [{ status: 'UpToDate', advisories: [] }, { refusal: 'QE report hash mismatch' }]
  assert.equal(isAcceptedByUsAlone(accepted, bad), true)
  assert.equal(isAcceptedByUsAlone(accepted, { status: 'OutOfDate', advisories: [] }), true)
  assert.equal(isAcceptedByUsAlone(accepted, good), false)
  assert.equal(isAcceptedByUsAlone(refused, good), false)
  assert.equal(isAcceptedByUsAlone(refused, bad), false)
})

test('what is unexplained and what explains nothing are told apart', () => {
  const a = { id: 'a', ours: 'refused, UpToDate', theirs: 'accepted, UpToDate' }
  const b = { ...a, id: 'b' }
  assert.deepEqual(compare([a], [a]), { unexplained: [], stale: [] })
  assert.deepEqual(compare([a], [b]), { unexplained: [a], stale: [b] })
  const other = { ...a, theirs: 'accepted, OutOfDate' }
  assert.deepEqual(compare([other], [a]), { unexplained: [other], stale: [a] })
})

test('each difference is explained once', () => {
  const ids = DCAP_QVL_DIFFERENCES.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
})

test('without a folder, or with one in which it is not installed, the command says what it wants', () => {
  const run = (...args: string[]) => {
    const script = resolve(import.meta.dirname, '../../scripts/differential-tdx.ts')
    const flags = ['--conditions=@trusted-pods/source', script]
    return spawnSync(process.execPath, [...flags, ...args], { encoding: 'utf8' })
  }
  assert.deepEqual([run().status, /usage/.test(run().stderr)], [2, true])
  const { status, stderr } = run(join(import.meta.dirname))
  assert.equal(status, 2)
  assert.match(stderr, /Cannot find module '@phala\/dcap-qvl'|no TDX vector/)
})
