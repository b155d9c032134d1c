/** An exported receipt in the hands of somebody who trusts nobody: every byte that matters is proven, or it is refused. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import type { ChannelTerms } from '@trusted-pods/protocol/channel/terms.ts'
import { EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { EVIDENCE, PROVIDER, receiptFile } from '../../../test/support/receipt-file-fixture.ts'
import { formatReceiptFile, parseReceiptFile, type ReceiptFile } from './receipt-file.ts'
import { judgeReceiptFile } from './verify-receipt-file.ts'

/** 3,601 s of half a vCPU and of 1 GiB, a start, and 12,345,678 bytes out, each rounded down. */
const COST =
  (45_000n * 500n * 3_601n) / 3_600_000n + (5_001n * 3_601n) / 3_600n + 100n + (90_000n * 12_345_678n) / 2n ** 30n

let file: ReceiptFile
let terms: ChannelTerms
before(async () => {
  file = await receiptFile()
  terms = file.terms
})

test('a file that was written is read as it was, and holds without a network', async () => {
  const read = parseReceiptFile(formatReceiptFile(file))
  assert.deepEqual(read, file)
  const { holds, checks, receipt } = await judgeReceiptFile(read)
  assert.equal(holds, true)
  assert.deepEqual(
    checks.map(({ name, result }) => `${name} ${result}`),
    ['channel proven', 'quote proven', 'pod proven', 'receipt proven', 'evidence not-judged'],
  )
  assert.equal(receipt?.cumulative, COST)
  assert.deepEqual(
    [receipt?.usage.exit?.reason, receipt?.usage.exit?.containers[0]?.exitCode],
    ['stopped-by-publisher', 3],
  )
})

test('no time that a provider writes into its quote makes the receipt worthless', async () => {
  const [expiresAtMs, beyondDate] = [2_000n, 2n ** 64n - 1n]
  for (const issuedAtMs of [0n, expiresAtMs, expiresAtMs + 1n, beyondDate]) {
    const { holds, checks } = await judgeReceiptFile(await receiptFile({ issuedAtMs, expiresAtMs }))
    assert.equal(holds, true, `issued at ${issuedAtMs}: ${checks.at(-1)?.detail}`)
  }
  assert.equal((await judgeReceiptFile(await receiptFile({ expiresAtMs: beyondDate }))).holds, true)
})

test('terms with numbers beyond their type are refused, not a fault of ours', async () => {
  for (const change of [{ ratePerHour: 10n ** 38n }, { unlockDelay: 2 ** 48 }]) {
    const text = formatReceiptFile({ ...file, terms: { ...terms, ...change } })
    await assertRefused('CHANNEL_RECEIPT_INVALID', /receipt file/, async () => parseReceiptFile(text))
  }
})

test('with the evidence the meter is seen to be the attested one; other evidence is refused', async () => {
  assert.equal((await judgeReceiptFile(file, { evidence: EVIDENCE })).checks.at(-1)?.result, 'proven')
  const other = create(EvidenceSchema, { statement: { meterAddress: fromAddress(PROVIDER) } })
  assert.equal((await judgeReceiptFile(file, { evidence: other })).holds, false)
  const named = { ...file, evidenceDigest: await sha256(toBinary(EvidenceSchema, other)) }
  const { checks, holds } = await judgeReceiptFile(named, { evidence: other })
  assert.equal(holds, false)
  assert.match(checks.at(-1)?.detail ?? '', /the evidence attests meter/)
})

test('whatever is changed in a file, it no longer holds, and the check that it fails is named', async () => {
  const [zero, one] = [new Uint8Array(32), `0x${'01'.repeat(32)}` as const]
  const lower = create(UsageSchema, { ...fromBinary(UsageSchema, file.receipt.usage), runningSeconds: 1n })
  const changes: [string, Partial<ReceiptFile>][] = [
    ['channel', { channelId: one }],
    ['channel', { chainId: 2n }],
    ['channel', { terms: { ...terms, ratePerHour: 1n } }],
    ['quote', { quote: { ...file.quote, signature: new Uint8Array(65) } }],
    ['quote', { quote: { ...file.quote, quote: file.quote.quote.slice(0, -1) } }],
    ['pod', { podDigest: zero }],
    ['pod', { authorization: new Uint8Array(65) }],
    ['receipt', { receipt: { ...file.receipt, cumulative: '1' } }],
    ['receipt', { receipt: { ...file.receipt, usage: toBinary(UsageSchema, lower) } }],
  ]
  for (const [name, change] of changes) {
    const { holds, checks } = await judgeReceiptFile({ ...file, ...change })
    assert.deepEqual([holds, checks.at(-1)?.name, checks.at(-1)?.result], [false, name, 'refused'])
  }
})

test('a file of another form is CHANNEL_RECEIPT_INVALID, cut off at any place too', async () => {
  const text = formatReceiptFile(file)
  for (let length = 0; length < text.length - 2; length += 7)
    await assertRefused('CHANNEL_RECEIPT_INVALID', /receipt file|20 bytes/, async () =>
      parseReceiptFile(text.slice(0, length)),
    )
  const fields = JSON.parse(text)
  for (const change of [
    { version: 2 },
    { more: 1 },
    { chainId: '-1' },
    { podDigest: '00' },
    { terms: [] },
    { receipt: '!' },
  ])
    await assertRefused('CHANNEL_RECEIPT_INVALID', /receipt file/, async () =>
      parseReceiptFile(JSON.stringify({ ...fields, ...change })),
    )
})
