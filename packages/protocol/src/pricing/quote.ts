/**
 * A price for one pod, signed by the attested meter key over the quote's exact bytes: neither side can change it later, and a
 * field that the reader does not know stays under the signature. Spec: spec/PRICING.md#quote. Pure.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type Address, type Hex, hashTypedData, type LocalAccount } from 'viem'
import { equalBytes, sha256, toHex } from '../bytes.ts'
import { toAddress } from '../chain/address.ts'
import { toSignatureBytes, verifySignature } from '../channel/signature.ts'
import { TrustedPodsError } from '../errors.ts'
import { type Quote, QuoteSchema, type SignedQuote, SignedQuoteSchema } from '../gen/trustedpods/v0/capacity_pb.ts'
import type { PaymentTerms } from '../gen/trustedpods/v0/payment_pb.ts'
import type { PricingTable } from '../gen/trustedpods/v0/pricing_pb.ts'
import { ratePerHour } from './price.ts'
import { checkPricingTable } from './pricing-table.ts'

const QUOTE_TYPES = { Quote: [{ name: 'quote', type: 'bytes' }] } as const

/** Who must have signed, and whom the quote must be for. */
export interface QuoteExpectation {
  /** The meter key of the attested statement. */
  readonly meter: Address | Uint8Array
  readonly now: Date
  /** Peer id (multihash bytes) of the publisher; not checked when left out. */
  readonly publisher?: Uint8Array
  /** Peer id (multihash bytes) of the provider; not checked when left out. */
  readonly provider?: Uint8Array
}

/** A quote with its three money parts certainly there and consistent. */
export type OpenedQuote = Quote & { readonly pricing: PricingTable; readonly payment: PaymentTerms }

/** The quote's bytes and the meter key's signature over them. */
export async function signQuote(quote: Quote, { account }: { account: LocalAccount }): Promise<SignedQuote> {
  const bytes = toBinary(QuoteSchema, quote)
  const signature = await account.signTypedData(typedQuote(bytes, requireParts(quote).payment.chainId))
  return create(SignedQuoteSchema, { quote: bytes, signature: toSignatureBytes(signature) })
}

/**
 * The quote in a signed quote, once it is proven: signed by the meter key, not ended, for these peers, its price table
 * well-formed, and the rate that it asks for exactly the one that its own table gives for its resources.
 * @throws TrustedPodsError WIRE_MALFORMED, QUOTE_SIGNATURE, QUOTE_EXPIRED, QUOTE_MISMATCH, QUOTE_PRICES_INVALID or
 * QUOTE_UNKNOWN_RESOURCE.
 */
export async function openQuote(signed: SignedQuote, expected: QuoteExpectation): Promise<OpenedQuote> {
  const quote = requireParts(decodeQuote(signed.quote))
  const hash = hashTypedData(typedQuote(signed.quote, quote.payment.chainId))
  const meter = toAddress(expected.meter, 'QUOTE_MISMATCH')
  await verifySignature(hash, signed.signature, { signer: meter, code: 'QUOTE_SIGNATURE', what: 'the quote' })
  checkPeers(quote, expected)
  checkExpiry(quote, expected.now)
  checkPayment(quote, meter)
  return quote
}

/** SHA-256 of the quote's bytes: what the pod and the channel's authorization refer to. */
export function quoteDigest(signed: SignedQuote): Promise<Uint8Array<ArrayBuffer>> {
  return sha256(signed.quote)
}

/** Until when the provider keeps the place for this quote; undefined: it is good while the place is free. */
export function heldUntil({ holdExpiresAtMs }: Quote): Date | undefined {
  return holdExpiresAtMs === 0n ? undefined : new Date(Number(holdExpiresAtMs))
}

function typedQuote(bytes: Uint8Array, chainId: bigint) {
  const quote: Hex = `0x${toHex(bytes)}`
  const domain = { name: 'Trusted Pods Quote', version: '1', chainId }
  return { domain, types: QUOTE_TYPES, primaryType: 'Quote', message: { quote } } as const
}

function decodeQuote(bytes: Uint8Array): Quote {
  try {
    return fromBinary(QuoteSchema, bytes)
  } catch (cause) {
    throw new TrustedPodsError('WIRE_MALFORMED', `the quote's ${bytes.length} bytes are no Quote message`, { cause })
  }
}

function requireParts(quote: Quote): OpenedQuote {
  const { pricing, payment } = quote
  if (pricing === undefined || payment === undefined) mismatch('the quote has no price table or no payment terms')
  return Object.assign(quote, { pricing, payment })
}

function checkPeers(quote: Quote, { publisher, provider }: QuoteExpectation): void {
  if (publisher !== undefined && !equalBytes(quote.publisherPeerId, publisher)) {
    mismatch(`the quote is for publisher ${toHex(quote.publisherPeerId.slice(0, 64))}, wanted ${toHex(publisher)}`)
  }
  if (provider !== undefined && !equalBytes(quote.providerPeerId, provider)) {
    mismatch(`the quote is by provider ${toHex(quote.providerPeerId.slice(0, 64))}, wanted ${toHex(provider)}`)
  }
}

function checkExpiry({ expiresAtMs, holdExpiresAtMs }: Quote, now: Date): void {
  if (expiresAtMs <= BigInt(now.getTime())) {
    throw new TrustedPodsError(
      'QUOTE_EXPIRED',
      `the quote ended at ${formatTime(expiresAtMs)}, now ${now.toISOString()}`,
    )
  }
  if (holdExpiresAtMs > expiresAtMs)
    mismatch(`the place is kept until ${formatTime(holdExpiresAtMs)}, the quote ends at ${formatTime(expiresAtMs)}`)
}

function checkPayment(quote: OpenedQuote, meter: Address): void {
  const { pricing, payment, resources } = quote
  checkPricingTable(pricing)
  if (payment.chainId !== pricing.chainId)
    mismatch(`priced on chain ${pricing.chainId} but paid on chain ${payment.chainId}`)
  if (toAddress(payment.meter, 'QUOTE_MISMATCH') !== meter)
    mismatch('the payment terms name another meter key than the attested one')
  toAddress(payment.escrow, 'QUOTE_MISMATCH')
  toAddress(payment.provider, 'QUOTE_MISMATCH')
  if (!/^[0-9]{1,39}$/.test(payment.minDeposit)) mismatch('the least deposit is not 1 to 39 digits')
  const rate = ratePerHour(pricing, resources).toString()
  if (payment.ratePerHour !== rate)
    mismatch(`the quote asks for ${payment.ratePerHour.slice(0, 40)} per hour, its prices give ${rate}`)
}

/** A Unix time that a peer sent: it may be beyond what a Date holds. */
function formatTime(unixMs: bigint): string {
  return unixMs < 8_640_000_000_000_000n ? new Date(Number(unixMs)).toISOString() : `${unixMs} ms`
}

function mismatch(message: string): never {
  throw new TrustedPodsError('QUOTE_MISMATCH', message)
}
