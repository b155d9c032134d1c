/** An exported receipt in the hands of somebody who trusts nobody: every byte that matters is proven, or it is refused. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { fromAddress, ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { signAuthorization } from '@trusted-pods/protocol/channel/authorization.ts'
import { signReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { QuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { PriceKind } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { quoteDigest, signQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { formatReceiptFile, parseReceiptFile, type ReceiptFile } from './receipt-file.ts'
import { judgeReceiptFile } from './verify-receipt-file.ts'

const METER = privateKeyToAccount(generatePrivateKey())
const PAYER = privateKeyToAccount(generatePrivateKey())
const ESCROW = '0x52908400098527886E0F7030069857D2E4169EE7'
const PROVIDER = privateKeyToAccount(generatePrivateKey()).address
const TOKEN = '0x8617E340B3D01FA5F11F306F4090FD50E238070D'
const EVIDENCE = create(EvidenceSchema, { statement: { meterAddress: fromAddress(METER.address) } })

const place = { chainId: 1n, escrow: ESCROW } as const
const terms: ChannelTerms = {
  payer: PAYER.address,
  voucherSigner: ZERO_ADDRESS,
  provider: PROVIDER,
  meter: METER.address,
  token: TOKEN,
  ratePerHour: 22_500n,
  unlockDelay: 3600,
  podId: `0x${'42'.repeat(32)}`,
}

let file: ReceiptFile
before(async () => {
  const quote = create(QuoteSchema, {
    id: new Uint8Array(16),
    publisherPeerId: new Uint8Array([1]),
    providerPeerId: new Uint8Array([2]),
    resources: [{ name: 'cpu', quantity: 500n }],
    issuedAtMs: 1_000n,
    expiresAtMs: 2_000n,
    pricing: {
      chainId: 1n,
      token: fromAddress(TOKEN),
      decimals: 6,
      symbol: 'USDC',
      prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
    },
    payment: {
      chainId: 1n,
      escrow: fromAddress(ESCROW),
      provider: fromAddress(PROVIDER),
      meter: fromAddress(METER.address),
      ratePerHour: '22500',
      minUnlockDelaySeconds: 3600,
      minDeposit: '1',
    },
  })
  const signed = await signQuote(quote, { account: METER })
  const podDigest = await sha256(new TextEncoder().encode('the pod'))
  const id = channelId(terms, place)
  const peers = { publisherPeer: quote.publisherPeerId, providerPeer: quote.providerPeerId }
  const tied = { chainId: 1n, channelId: id, podDigest, quoteDigest: await quoteDigest(signed), ...peers }
  const usage = create(UsageSchema, {
    podId: new Uint8Array(32).fill(0x42),
    runningSeconds: 3_600n,
    counters: [{ resource: 'cpu', value: (500n * 3_600n).toString() }],
    exit: { reason: 'stopped-by-publisher', containers: [{ name: 'job', exitCode: 3 }], endedAtMs: 9n },
  })
  const { pricing } = quote
  assert.ok(pricing)
  file = {
    ...place,
    terms,
    channelId: id,
    quote: signed,
    podDigest,
    evidenceDigest: await sha256(toBinary(EvidenceSchema, EVIDENCE)),
    authorization: await signAuthorization(tied, { account: PAYER }),
    receipt: await signReceipt(usage, { ...place, account: METER, terms, table: pricing }),
  }
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
  assert.equal(receipt?.cumulative, 22_500n)
  assert.deepEqual(
    [receipt?.usage.exit?.reason, receipt?.usage.exit?.containers[0]?.exitCode],
    ['stopped-by-publisher', 3],
  )
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
    ['receipt', { receipt: { ...file.receipt, cumulative: '22499' } }],
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
