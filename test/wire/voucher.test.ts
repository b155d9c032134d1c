/** A provider asks for a voucher, and the publisher that is there answers by what it has verified itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { type Voucher, verifyVoucher } from '@trusted-pods/protocol/channel/voucher.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { VoucherRequestSchema, VoucherResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { ReceiptSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { VOUCHER } from '@trusted-pods/protocol/wire/protocols.ts'
import { serve } from '@trusted-pods/protocol/wire/serve.ts'
import { Journal } from '@trusted-pods/provider/journal.ts'
import { answerVoucher, type LeaseParts } from '@trusted-pods/provider/lease.ts'
import { giveVoucher, voucherFor } from '@trusted-pods/publisher/give-voucher.ts'
import type { LeaseStatus } from '@trusted-pods/publisher/status-stream.ts'
import { privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../support/assert-refused.ts'
import { leaseFacts } from '../support/lease-fixture.ts'
import { memoryLog } from '../support/memory-log.ts'
import { startNodePair } from '../support/nodes.ts'

const PAYER = privateKeyToAccount(`0x${'22'.repeat(32)}`)
const LEASE = leaseFacts({ payer: PAYER.address })

test('a voucher reaches the provider that has the pod, signed for its channel', async () => {
  await using nodes = await startNodePair()
  const kept: [string, Voucher][] = []
  using journal = new Journal(':memory:')
  const names = { podId: 'ab'.repeat(32), termsPodId: LEASE.id, publisher: nodes.publisher.peerId.toString() }
  const bytes = { quote: new Uint8Array(), channel: new Uint8Array() }
  journal.insert({ ...names, ...bytes, idempotencyKey: '00', requestDigest: '', deposited: 1n, acceptedAtMs: 0 })
  const charger = {
    keepVoucher: async (podId: string, voucher: Voucher) => {
      if (voucher.cumulative > 10n) throw new TrustedPodsError('CHANNEL_BAD_AMOUNT', 'more than is owed')
      kept.push([podId, voucher])
    },
  }
  const parts = { charger, status: { journal } } as unknown as LeaseParts
  const answer = async (message: Parameters<typeof answerVoucher>[0], caller: Parameters<typeof answerVoucher>[1]) => {
    await answerVoucher(message, caller, parts)
    return {}
  }
  const schemas = { request: VoucherRequestSchema, response: VoucherResponseSchema }
  await serve(nodes.provider, VOUCHER, { ...schemas, refuse: (refusal) => ({ refusal }), answer }, { log: memoryLog() })

  await giveVoucher(nodes.connection, LEASE, 7n, { account: PAYER })
  const [[podId, voucher] = assert.fail('nothing was kept')] = kept
  assert.deepEqual([podId, voucher.cumulative], [names.podId, 7n])
  await verifyVoucher(voucher, LEASE.channel)
  await assertRefused('CHANNEL_BAD_AMOUNT', /more than is owed/, () =>
    giveVoucher(nodes.connection, LEASE, 11n, { account: PAYER }),
  )
  const other = { ...LEASE, id: toHex(new Uint8Array(32)) }
  await assertRefused('STATUS_UNKNOWN_POD', /no pod/, () =>
    giveVoucher(nodes.connection, other, 1n, { account: PAYER }),
  )
})

test('no voucher is above what is asked, what was verified, or what was deposited', () => {
  const status = (wanted: bigint | undefined, receipt: LeaseStatus['receipt']) =>
    ({ receipt, funds: { ...(wanted !== undefined && { voucherWanted: wanted }) } }) as LeaseStatus
  const verified = (owed: bigint) =>
    ({ kind: 'verified', owed, runningSeconds: 1n, receipt: create(ReceiptSchema) }) as const
  const sum = (wanted: bigint | undefined, receipt: LeaseStatus['receipt']) =>
    voucherFor(LEASE, status(wanted, receipt))
  assert.equal(sum(5n, verified(9n)), 5n)
  assert.equal(sum(9n, verified(5n)), 5n)
  assert.equal(sum(10n ** 9n, verified(10n ** 9n)), LEASE.channel.deposit)
  assert.equal(sum(undefined, verified(5n)), undefined)
  assert.equal(sum(5n, { kind: 'none' }), undefined)
  assert.equal(sum(5n, { kind: 'invalid', reason: 'x' }), undefined)
  assert.equal(sum(5n, verified(0n)), undefined)
})
