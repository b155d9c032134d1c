/**
 * Checks an exported receipt as somebody who was not there: each line is proven by a signature or a recomputation, and what
 * nobody signed is said to be so. No network. Spec: spec/PAYMENT.md#receipt-file. Pure.
 */
import { toBinary } from '@bufbuild/protobuf'
import { equalBytes, sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import { toAddress } from '@trusted-pods/protocol/chain/address.ts'
import { verifyAuthorization } from '@trusted-pods/protocol/channel/authorization.ts'
import { type VerifiedReceipt, verifyReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Evidence, EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { type OpenedQuote, openQuote, quoteDigest } from '@trusted-pods/protocol/pricing/quote.ts'
import { isAddressEqual } from 'viem'
import type { ReceiptFile } from './receipt-file.ts'

export interface ReceiptCheck {
  readonly name: 'channel' | 'quote' | 'pod' | 'receipt' | 'evidence'
  /** not-judged: nobody signed it, and what would prove it was not given. */
  readonly result: 'proven' | 'refused' | 'not-judged'
  /** What was seen, for people. */
  readonly detail: string
}

export interface JudgedReceipt {
  /** In the order in which they build on each other; ends at the first that is refused. */
  readonly checks: readonly ReceiptCheck[]
  readonly holds: boolean
  /** Once they are proven. */
  readonly quote?: OpenedQuote
  readonly receipt?: VerifiedReceipt
}

/** @param evidence the evidence that the file's digest stands for, where it was kept. */
export async function judgeReceiptFile(
  file: ReceiptFile,
  { evidence }: { evidence?: Evidence } = {},
): Promise<JudgedReceipt> {
  const checks: ReceiptCheck[] = []
  let name: ReceiptCheck['name'] = 'channel'
  const passed = (detail: string) => void checks.push({ name, result: 'proven', detail })
  try {
    passed(checkChannelId(file))
    name = 'quote'
    const quote = await checkQuote(file)
    passed(describeQuote(quote))
    name = 'pod'
    passed(await checkPod(file, quote))
    name = 'receipt'
    const receipt = await checkReceipt(file, quote)
    passed(describeReceipt(receipt))
    name = 'evidence'
    checks.push({ name, ...(await checkEvidence(file, evidence)) })
    return { checks, holds: true, quote, receipt }
  } catch (error) {
    if (!(error instanceof TrustedPodsError)) throw error
    return { checks: [...checks, { name, result: 'refused', detail: error.message }], holds: false }
  }
}

function checkChannelId({ terms, channelId: said, ...place }: ReceiptFile): string {
  const id = channelId(terms, place)
  if (id !== said.toLowerCase()) refuse(`the terms hash to channel ${id}, the file says ${said}`)
  return `${id}, the hash of its terms on chain ${place.chainId} in escrow ${place.escrow}`
}

/** That the quote has ended since is no fault, and its own times are the provider's to choose: at this one none has ended. */
const BEFORE_ALL_QUOTES = new Date(-1)

async function checkQuote({ quote, terms, chainId, escrow }: ReceiptFile): Promise<OpenedQuote> {
  const opened = await openQuote(quote, { meter: terms.meter, now: BEFORE_ALL_QUOTES })
  const { payment, pricing } = opened
  const same =
    payment.chainId === chainId &&
    isAddressEqual(toAddress(payment.escrow), escrow) &&
    isAddressEqual(toAddress(payment.provider), terms.provider) &&
    isAddressEqual(toAddress(payment.meter), terms.meter) &&
    isAddressEqual(toAddress(pricing.token), terms.token)
  if (!same) refuse('the quote names another chain, escrow, provider, meter or token than the terms')
  if (BigInt(payment.ratePerHour) > terms.ratePerHour)
    refuse(`the quote asks for ${payment.ratePerHour} per hour, the channel allows ${terms.ratePerHour}`)
  return opened
}

/** The payer's signature binds pod, quote and both peers to this channel. */
async function checkPod(file: ReceiptFile, quote: OpenedQuote): Promise<string> {
  const provision = {
    chainId: file.chainId,
    channelId: file.channelId,
    podDigest: file.podDigest,
    quoteDigest: await quoteDigest(file.quote),
    publisherPeer: quote.publisherPeerId,
    providerPeer: quote.providerPeerId,
  }
  await verifyAuthorization(file.authorization, provision, { payer: file.terms.payer })
  return `SHA-256 ${toHex(file.podDigest)}, authorised by payer ${file.terms.payer}`
}

function checkReceipt({ receipt, terms, chainId, escrow }: ReceiptFile, quote: OpenedQuote): Promise<VerifiedReceipt> {
  return verifyReceipt(receipt, { terms, chainId, escrow, table: quote.pricing, resources: quote.resources })
}

/** The digest alone is the exporter's word; with the evidence itself the meter key is seen to be the attested one. */
async function checkEvidence({ evidenceDigest, terms }: ReceiptFile, evidence: Evidence | undefined) {
  const said = `SHA-256 ${toHex(evidenceDigest)}`
  if (!evidence)
    return { result: 'not-judged', detail: `${said}: nobody signed this; give the evidence to have it judged` } as const
  const seen = await sha256(toBinary(EvidenceSchema, evidence))
  if (!equalBytes(seen, evidenceDigest))
    refuse(`the evidence has SHA-256 ${toHex(seen)}, the file says ${toHex(evidenceDigest)}`)
  const meter = toAddress(evidence.statement?.meterAddress ?? new Uint8Array(), 'CHANNEL_RECEIPT_INVALID')
  if (!isAddressEqual(meter, terms.meter))
    refuse(`the evidence attests meter ${meter}, the receipt is signed by ${terms.meter}`)
  return {
    result: 'proven',
    detail: `${said}, attests meter ${meter}; whether to trust it says trustedpods verify`,
  } as const
}

function describeQuote({ payment, resources }: OpenedQuote): string {
  const reserved = resources.map(({ name, quantity }) => `${quantity} of ${name}`).join(', ')
  return `signed by the meter key: ${payment.ratePerHour} base units per hour at most, for ${reserved}`
}

function describeReceipt({ cumulative, usage }: VerifiedReceipt): string {
  return `signed by the meter key: ${cumulative} base units for ${usage.runningSeconds} s, computed again from its usage`
}

function refuse(message: string): never {
  throw new TrustedPodsError('CHANNEL_RECEIPT_INVALID', message)
}
