/** Asks an attested provider for a price and proves the answer before anybody sees it. Spec: spec/PRICING.md#quote. */
import { create, fromBinary } from '@bufbuild/protobuf'
import { equalBytes } from '@trusted-pods/protocol/bytes.ts'
import { toAddress } from '@trusted-pods/protocol/chain/address.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  type CapacityRequest,
  CapacityRequestSchema,
  type CapacityResponse,
  CapacityResponseSchema,
  type SignedQuote,
} from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import type { Resource } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { Price, PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { type OpenedQuote, openQuote, quoteDigest } from '@trusted-pods/protocol/pricing/quote.ts'
import { request } from '@trusted-pods/protocol/wire/exchange.ts'
import { CAPACITY } from '@trusted-pods/protocol/wire/protocols.ts'
import { boundText, throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Address, isAddressEqual } from 'viem'
import type { AttestedPeer } from './attest.ts'

/** What the publisher knows without the provider, and holds the quote against. */
export interface PaymentExpectation {
  readonly chainId: bigint
  readonly escrow: Address
  readonly token: Address
  /** Decimals of the token as the chain has them: by others every amount that people read would be off by powers of ten. */
  readonly decimals?: number
  /** The account that announced the provider. */
  readonly provider: Address
}

export interface RequestQuoteOptions {
  /** Host names wanted at the HTTP front. */
  httpHosts?: readonly string[]
  /** Bytes of the blocks of the pod's images; 0: not said, and the provider may have no room for them later. */
  imageBytes?: bigint
  /** Where and in what we are ready to pay. */
  payment: PaymentExpectation
  /** The prices that the provider announced; differences are told, not refused. */
  announced?: PricingTable
  now?: Date
  signal?: AbortSignal
}

/** A quote that was proven: signed by the attested meter, for us, for what was asked, payable where we pay. */
export interface AgreedQuote {
  readonly signed: SignedQuote
  readonly quote: OpenedQuote
  /** SHA-256 of the signed bytes. */
  readonly digest: Uint8Array
  readonly expiresAt: Date
  /** How its prices differ from the announced ones, one line each, for people; empty: they do not. */
  readonly priceChanges: readonly string[]
}

/**
 * @throws TrustedPodsError QUOTE_MISMATCH, QUOTE_SIGNATURE, QUOTE_EXPIRED: the quote is not to be trusted; CHANNEL_WRONG_CHAIN: it
 * asks for payment elsewhere; QUOTE_… with remote: the provider refused.
 */
export async function requestQuote(
  attested: AttestedPeer,
  resources: readonly Resource[],
  options: RequestQuoteOptions,
): Promise<AgreedQuote> {
  const { httpHosts = [], imageBytes = 0n, signal } = options
  const message = capacityRequest(resources, { httpHosts, imageBytes })
  const response = await request(
    attested.connection,
    CAPACITY,
    { request: CapacityRequestSchema, message, response: CapacityResponseSchema },
    signal ? { signal } : {},
  )
  return proveQuote(attested, { response, asked: message }, options)
}

/** What is asked of the provider; also what `attest` sends to have the answer covered by the evidence. */
export function capacityRequest(
  resources: readonly Resource[],
  { httpHosts = [], imageBytes = 0n }: Pick<RequestQuoteOptions, 'httpHosts' | 'imageBytes'> = {},
): CapacityRequest {
  return create(CapacityRequestSchema, { resources: [...resources], httpHosts: [...httpHosts], imageBytes })
}

/** The answer that came with the evidence, proven like one that was asked for afterwards. */
export function openAttestedQuote(
  attested: AttestedPeer,
  asked: CapacityRequest,
  options: RequestQuoteOptions,
): Promise<AgreedQuote> {
  if (!attested.capacityResponse) {
    throw new TrustedPodsError('QUOTE_MISMATCH', 'the evidence came without a capacity answer, one was asked for')
  }
  return proveQuote(attested, { response: decodeCapacity(attested.capacityResponse), asked }, options)
}

function decodeCapacity(bytes: Uint8Array): CapacityResponse {
  try {
    return fromBinary(CapacityResponseSchema, bytes)
  } catch (cause) {
    throw new TrustedPodsError('WIRE_MALFORMED', `${bytes.length} bytes of capacity answer are no message`, { cause })
  }
}

async function proveQuote(
  attested: AttestedPeer,
  { response, asked }: { response: CapacityResponse; asked: CapacityRequest },
  { payment, announced, now = new Date() }: RequestQuoteOptions,
): Promise<AgreedQuote> {
  const signed = requireQuote(response)
  const { meter, publisherPeerId: publisher, providerPeerId: provider } = attested
  const quote = await openQuote(signed, { meter, now, publisher, provider })
  checkPayment(quote, payment)
  checkAnswersRequest(quote, asked)
  return {
    signed,
    quote,
    digest: await quoteDigest(signed),
    expiresAt: new Date(Number(quote.expiresAtMs)),
    priceChanges: announced ? priceChanges(announced, quote.pricing) : [],
  }
}

function requireQuote({ result }: CapacityResponse): SignedQuote {
  if (result.case === 'refusal') throwRefusal(result.value)
  if (result.case !== 'offer' || !result.value.quote) {
    throw new TrustedPodsError('WIRE_MALFORMED', 'the capacity answer holds neither a quote nor a refusal')
  }
  return result.value.quote
}

function checkPayment({ payment, pricing }: OpenedQuote, expected: PaymentExpectation): void {
  if (payment.chainId !== expected.chainId) {
    throw new TrustedPodsError(
      'CHANNEL_WRONG_CHAIN',
      `the quote is paid on chain ${payment.chainId}, we pay on chain ${expected.chainId}`,
    )
  }
  checkAddress('escrow', payment.escrow, expected.escrow)
  checkAddress('token', pricing.token, expected.token)
  if (expected.decimals !== undefined && pricing.decimals !== expected.decimals) {
    throw new TrustedPodsError(
      'QUOTE_MISMATCH',
      `the quote counts ${pricing.decimals} decimals, the token has ${expected.decimals}`,
    )
  }
  checkAddress('account paid', payment.provider, expected.provider)
}

function checkAddress(what: string, seen: Uint8Array, wanted: Address): void {
  const address = toAddress(seen, 'QUOTE_MISMATCH')
  if (!isAddressEqual(address, wanted)) {
    throw new TrustedPodsError('QUOTE_MISMATCH', `the quote's ${what} is ${address}, wanted ${wanted}`)
  }
}

function checkAnswersRequest(quote: OpenedQuote, asked: CapacityRequest): void {
  const seen = describeResources(quote.resources)
  const wanted = describeResources(asked.resources)
  if (seen !== wanted) {
    throw new TrustedPodsError('QUOTE_MISMATCH', `the quote is for ${boundText(seen)}, asked for ${boundText(wanted)}`)
  }
  const missing = asked.httpHosts.filter((host) => !quote.httpHosts.includes(host))
  if (missing.length > 0)
    throw new TrustedPodsError('QUOTE_MISMATCH', `the quote does not promise the host ${missing.join(', ')}`)
  if (quote.imageBytes < asked.imageBytes)
    throw new TrustedPodsError(
      'QUOTE_MISMATCH',
      `the quote is for ${quote.imageBytes} bytes of images, asked for ${asked.imageBytes}`,
    )
}

/** Not two lists read alike, whatever names a provider makes up. */
function describeResources(resources: readonly Resource[]): string {
  return resources
    .map(({ name, selector, quantity }) => JSON.stringify([name, selector, `${quantity}`]))
    .sort()
    .join(' ')
}

/** Lines of the quote that are dearer, cheaper or new against what was announced. */
export function priceChanges(announced: PricingTable, quoted: PricingTable): string[] {
  if (announced.decimals !== quoted.decimals || !equalBytes(announced.token, quoted.token)) {
    return ['the announced prices are in another token']
  }
  return quoted.prices.flatMap((price) => {
    const before = announced.prices.find((line) => line.resource === price.resource && line.selector === price.selector)
    // The provider chose these names, and people read the line before they pay.
    const name = boundText(price.selector === '' ? price.resource : `${price.resource} (${price.selector})`)
    if (!before) return [`${name} was not announced`]
    const order = compareAmounts(before, price)
    return order === 0 ? [] : [`${name} is ${order < 0 ? 'dearer' : 'cheaper'} than announced`]
  })
}

/** Below 0: the second costs more for the same quantity and time. */
function compareAmounts(a: Price, b: Price): number {
  const left = BigInt(a.amount) * b.perQuantity * atLeastOne(b.perSeconds)
  const right = BigInt(b.amount) * a.perQuantity * atLeastOne(a.perSeconds)
  return left === right ? 0 : left < right ? -1 : 1
}

function atLeastOne(value: bigint): bigint {
  return value === 0n ? 1n : value
}
