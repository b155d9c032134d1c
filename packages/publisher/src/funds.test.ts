import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { FundsSchema, ReceiptSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { leaseFacts } from '../../../test/support/lease-fixture.ts'
import { fundsOf } from './funds.ts'
import type { ReceiptView } from './receipt-watch.ts'

/** 100,000 base units at 22,500 an hour: 16,000 s. */
const LEASE = leaseFacts()

function verified(owed: bigint): ReceiptView {
  return { kind: 'verified', owed, runningSeconds: 1n, receipt: create(ReceiptSchema) }
}

test('what is left lasts as long as the rate of the channel says', () => {
  const { left, lastsSeconds, isLow } = fundsOf(LEASE, verified(55_000n), undefined)
  assert.deepEqual([left, lastsSeconds, isLow], [45_000n, 7_200n, false])
})

test('funds are low when both an hour and a tenth of the deposit are not there any more', () => {
  const low = (owed: bigint) => fundsOf(LEASE, verified(owed), undefined).isLow
  assert.deepEqual([80_000n, 90_000n, 90_001n, 100_000n, 200_000n].map(low), [false, false, true, true, true])
})

test('a receipt that does not hold uses nothing up', () => {
  assert.equal(fundsOf(LEASE, { kind: 'invalid', reason: 'x' }, undefined).left, 100_000n)
})

test('the words of the provider are bounded, and what is no time or no sum is left out', () => {
  const told = (funds: object) => fundsOf(LEASE, verified(1n), create(FundsSchema, funds))
  const { suspendedAt, deletedAt, voucherWanted } = told({
    suspendedAtMs: 1_000n,
    deletedAtMs: 2_000n,
    voucherWanted: '7',
  })
  assert.deepEqual([suspendedAt, deletedAt, voucherWanted], [new Date(1_000), new Date(2_000), 7n])
  for (const voucherWanted of ['', '0', '-1', '1e3', '9'.repeat(39)])
    assert.equal(told({ voucherWanted }).voucherWanted, undefined)
  assert.equal(told({ suspendedAtMs: 2n ** 63n }).suspendedAt, undefined)
})
