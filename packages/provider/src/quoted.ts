/** The quote that a pod in the journal was admitted by: proven then, read again now. Pure. */
import { fromBinary } from '@bufbuild/protobuf'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Quote, QuoteSchema, SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import type { OpenedQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import type { PodRow } from './pod-row.ts'

/** Bytes of images that the provider takes for the pod; 0: its own maximum. */
export function quotedImageBytes(row: Pick<PodRow, 'quote'>): number {
  return Number(decodeQuote(row).imageBytes)
}

/** @throws TrustedPodsError PLATFORM_STATE when the journal holds no whole quote. */
export function quoteOf(row: PodRow): OpenedQuote {
  const quote = decodeQuote(row)
  const { pricing, payment } = quote
  if (!pricing || !payment) throw new TrustedPodsError('PLATFORM_STATE', `pod ${row.podId} has a quote without prices`)
  return Object.assign(quote, { pricing, payment })
}

function decodeQuote({ quote }: Pick<PodRow, 'quote'>): Quote {
  return fromBinary(QuoteSchema, fromBinary(SignedQuoteSchema, quote).quote)
}
