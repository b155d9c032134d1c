import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import fc from 'fast-check'
import { fundedLease, leaseFacts, provisionDraft } from '../../../test/support/lease-fixture.ts'
import { inPhase, type Lease, type LeasePhase } from './lease.ts'
import { leaseFromJson, leaseToJson } from './lease-json.ts'

const hash = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => `0x${Buffer.from(bytes).toString('hex')}` as const)
const money = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n })
const time = fc.date({ noInvalidDate: true, min: new Date('2020-01-01'), max: new Date('2100-01-01') })
const draft = fc.uint8Array({ maxLength: 200 }).map((pod) => provisionDraft({ pod }))
const phase: fc.Arbitrary<LeasePhase> = fc.oneof(
  fc.record({ kind: fc.constant('opening' as const), draft }),
  fc.record({ kind: fc.constant('funded' as const), draft, openTransaction: hash }),
  fc.record({ kind: fc.constant('running' as const), openTransaction: hash }),
  fc.record({ kind: fc.constant('closing' as const), closeAt: time, reason: fc.string() }),
  fc.record({ kind: fc.constant('ended' as const), endedAt: time, paid: money, refund: money, reason: fc.string() }),
)

/** Equality that looks into secrets. */
function opened(lease: Lease) {
  return 'draft' in lease ? { ...lease, draft: lease.draft.reveal() } : lease
}

test('a lease of any phase survives being written and read', () => {
  fc.assert(
    fc.property(phase, fc.string(), time, (kind, name, createdAt) => {
      const lease = { ...leaseFacts({ name, createdAt }), ...kind }
      assert.deepEqual(opened(leaseFromJson(leaseToJson(lease))), opened(lease))
    }),
  )
})

test('a file cut at any place is refused with PLATFORM_STATE, and the message repeats nothing of it', () => {
  const text = leaseToJson(fundedLease()).trimEnd()
  for (let length = 0; length < text.length; length += 7) {
    assert.throws(
      () => leaseFromJson(text.slice(0, length)),
      (error) =>
        error instanceof TrustedPodsError && error.code === 'PLATFORM_STATE' && !error.message.includes('podId'),
    )
  }
})

test('a file with a field missing, of another kind, or for another pod is refused', () => {
  const whole = JSON.parse(leaseToJson(fundedLease()))
  const damaged = [
    ...Object.keys(whole).map((key) => ({ ...whole, [key]: undefined })),
    ...Object.keys(whole).map((key) => ({ ...whole, [key]: 5.5 })),
    { ...whole, id: '00'.repeat(32) },
    { ...whole, version: 2 },
    { ...whole, phase: { kind: 'sleeping' } },
    { ...whole, phase: { ...whole.phase, draft: {} } },
    [],
    null,
  ]
  for (const value of damaged) {
    assert.throws(
      () => leaseFromJson(JSON.stringify(value)),
      (error) => error instanceof TrustedPodsError && ['PLATFORM_STATE', 'CHANNEL_BAD_TERMS'].includes(error.code),
      JSON.stringify(value)?.slice(0, 80),
    )
  }
})

test('what a lease holds of the pod is not printed, logged or put into JSON by accident', () => {
  const lease = fundedLease()
  const secret = Buffer.from(lease.draft.reveal().pod).toString('hex')
  const printed = `${inspect(lease, { depth: 9 })} ${JSON.stringify(lease, (_, value) => (typeof value === 'bigint' ? `${value}` : value))} ${lease.draft}`
  assert.ok(!printed.includes(secret) && !printed.includes('the key of the image'))
  assert.match(printed, /«redacted»/)
})

test('a lease leaves the secrets of its old phase behind', () => {
  const running = inPhase(fundedLease(), { kind: 'running', openTransaction: '0x00' } as const)
  assert.equal('draft' in running, false)
})
