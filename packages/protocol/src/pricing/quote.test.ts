import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { sha256 } from '../bytes.ts'
import { fromAddress } from '../chain/address.ts'
import { type ErrorCode, TrustedPodsError } from '../errors.ts'
import { type Quote, QuoteSchema, type SignedQuote, SignedQuoteSchema } from '../gen/trustedpods/v0/capacity_pb.ts'
import { PriceKind } from '../gen/trustedpods/v0/pricing_pb.ts'
import { openQuote, quoteDigest, signQuote } from './quote.ts'

const METER = privateKeyToAccount(generatePrivateKey())
const NOW = new Date('2026-01-01T00:00:00Z')
const PUBLISHER = Uint8Array.of(1, 2, 3)
const PROVIDER = Uint8Array.of(4, 5, 6)
const EXPECTED = { meter: METER.address, now: NOW, publisher: PUBLISHER, provider: PROVIDER }
const PRICING = {
  chainId: 31_337n,
  token: new Uint8Array(20).fill(7),
  decimals: 6,
  symbol: 'USDC',
  prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
}
const PAYMENT = {
  chainId: 31_337n,
  escrow: new Uint8Array(20).fill(8),
  provider: new Uint8Array(20).fill(9),
  meter: fromAddress(METER.address),
  ratePerHour: '45000',
  minUnlockDelaySeconds: 3600,
  minDeposit: '45000',
}

test('a signed quote is opened by whom it is for, and its digest is that of its bytes', async () => {
  const quote = makeQuote()
  const signed = await signQuote(quote, { account: METER })
  assert.deepEqual(await openQuote(signed, EXPECTED), quote)
  assert.deepEqual(await openQuote(signed, { meter: fromAddress(METER.address), now: NOW }), quote)
  assert.deepEqual(await quoteDigest(signed), await sha256(toBinary(QuoteSchema, quote)))
})

test('a quote with a field that nobody knows yet is still signed, opened and digested with it', async () => {
  const bytes = toBinary(QuoteSchema, makeQuote())
  // Field 99, varint 1.
  const extended = new Uint8Array([...bytes, 0x98, 0x06, 0x01])
  const signed = await signQuote(makeQuote({}, extended), { account: METER })
  assert.deepEqual(signed.quote, extended)
  assert.equal((await openQuote(signed, EXPECTED)).payment.ratePerHour, '45000')
})

test('a quote signed by another key is refused with QUOTE_SIGNATURE', async () => {
  const signed = await signQuote(makeQuote(), { account: privateKeyToAccount(generatePrivateKey()) })
  await assertRefused('QUOTE_SIGNATURE', () => openQuote(signed, EXPECTED))
})

test('a quote changed in any byte, or cut anywhere, is refused', async () => {
  const signed = await signQuote(makeQuote(), { account: METER })
  for (let i = 0; i < signed.quote.length; i++) {
    const changed = signed.quote.slice()
    changed[i] = (changed[i] ?? 0) ^ 1
    await assertUnproven(create(SignedQuoteSchema, { quote: changed, signature: signed.signature }))
    await assertUnproven(create(SignedQuoteSchema, { quote: signed.quote.slice(0, i), signature: signed.signature }))
  }
  for (let length = 0; length < 65; length++) {
    const cut = create(SignedQuoteSchema, { quote: signed.quote, signature: signed.signature.slice(0, length) })
    await assertRefused('QUOTE_SIGNATURE', () => openQuote(cut, EXPECTED))
  }
})

test('a quote past its end is refused with QUOTE_EXPIRED, to the millisecond', async () => {
  const end = BigInt(NOW.getTime())
  await openQuote(await signQuote(makeQuote({ expiresAtMs: end + 1n }), { account: METER }), EXPECTED)
  for (const expiresAtMs of [end, end - 1n, 0n]) {
    const signed = await signQuote(makeQuote({ expiresAtMs }), { account: METER })
    await assertRefused('QUOTE_EXPIRED', () => openQuote(signed, EXPECTED))
  }
  await openQuote(await signQuote(makeQuote({ expiresAtMs: 2n ** 64n - 1n }), { account: METER }), EXPECTED)
})

const MISMATCHES: ReadonlyArray<[why: string, change: MessageInitShape<typeof QuoteSchema>]> = [
  ['another publisher', { publisherPeerId: Uint8Array.of(9) }],
  ['another provider', { providerPeerId: Uint8Array.of(9) }],
  ['another meter key', { payment: { ...PAYMENT, meter: new Uint8Array(20) } }],
  ['an escrow of 19 bytes', { payment: { ...PAYMENT, escrow: new Uint8Array(19) } }],
  ['an account of 21 bytes', { payment: { ...PAYMENT, provider: new Uint8Array(21) } }],
  ['another chain in its prices', { pricing: { ...PRICING, chainId: 1n } }],
  ['a rate above its prices', { payment: { ...PAYMENT, ratePerHour: '45001' } }],
  ['a rate below its prices', { payment: { ...PAYMENT, ratePerHour: '44999' } }],
  ['a rate in other digits', { payment: { ...PAYMENT, ratePerHour: '045000' } }],
  ['a place kept longer than itself', { expiresAtMs: 2n ** 60n, holdExpiresAtMs: 2n ** 60n + 1n }],
  ['a least deposit that is no number', { payment: { ...PAYMENT, minDeposit: '-1' } }],
]

for (const [why, change] of MISMATCHES) {
  test(`a quote with ${why} is refused with QUOTE_MISMATCH`, async () => {
    const signed = await signQuote(makeQuote(change), { account: METER })
    await assertRefused('QUOTE_MISMATCH', () => openQuote(signed, EXPECTED))
  })
}

test('a quote without prices or payment is neither signed nor opened', async () => {
  const { pricing, payment, ...rest } = makeQuote()
  for (const parts of [{ pricing }, { payment }]) {
    const quote = create(QuoteSchema, { ...rest, ...parts } as MessageInitShape<typeof QuoteSchema>)
    await assertRefused('QUOTE_MISMATCH', () => signQuote(quote, { account: METER }))
    const signed = create(SignedQuoteSchema, { quote: toBinary(QuoteSchema, quote), signature: new Uint8Array(65) })
    await assertRefused('QUOTE_MISMATCH', () => openQuote(signed, EXPECTED))
  }
})

test('a quote whose table is not well-formed is refused with QUOTE_PRICES_INVALID', async () => {
  const signed = await signQuote(makeQuote({ pricing: { ...PRICING, decimals: 37 } }), { account: METER })
  await assertRefused('QUOTE_PRICES_INVALID', () => openQuote(signed, EXPECTED))
})

test('a quote for what its table does not price is refused with QUOTE_UNKNOWN_RESOURCE', async () => {
  const signed = await signQuote(makeQuote({ resources: [{ name: 'memory', quantity: 1n }] }), { account: METER })
  await assertRefused('QUOTE_UNKNOWN_RESOURCE', () => openQuote(signed, EXPECTED))
})

function makeQuote(change: MessageInitShape<typeof QuoteSchema> = {}, bytes?: Uint8Array): Quote {
  if (bytes !== undefined) return fromBinary(QuoteSchema, bytes)
  const base = {
    id: new Uint8Array(16),
    publisherPeerId: PUBLISHER,
    providerPeerId: PROVIDER,
    resources: [{ name: 'cpu', quantity: 1000n }],
    pricing: PRICING,
    payment: PAYMENT,
    issuedAtMs: BigInt(NOW.getTime()),
    expiresAtMs: BigInt(NOW.getTime() + 60_000),
  }
  return create(QuoteSchema, { ...base, ...change } as MessageInitShape<typeof QuoteSchema>)
}

async function assertUnproven(signed: SignedQuote): Promise<void> {
  await assert.rejects(openQuote(signed, EXPECTED), (error) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.ok(['QUOTE_SIGNATURE', 'WIRE_MALFORMED', 'QUOTE_MISMATCH'].includes(error.code), error.code)
    return true
  })
}

async function assertRefused(code: ErrorCode, act: () => Promise<unknown>): Promise<void> {
  await assert.rejects(act, (error) => error instanceof TrustedPodsError && error.code === code)
}
