/** A receipt file as a provider, a publisher and their signatures would have made it; every part can be bent. */
import { create, toBinary } from '@bufbuild/protobuf'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { fromAddress, ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { signAuthorization } from '@trusted-pods/protocol/channel/authorization.ts'
import { signReceipt } from '@trusted-pods/protocol/channel/receipt.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { QuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { PaymentTermsSchema, UsageSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { PriceKind } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { counters, ratePerHour } from '@trusted-pods/protocol/pricing/price.ts'
import { quoteDigest, signQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import type { ReceiptFile } from '@trusted-pods/publisher/receipt-file.ts'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

export const METER = privateKeyToAccount(generatePrivateKey())
export const PAYER = privateKeyToAccount(generatePrivateKey())
export const PROVIDER = privateKeyToAccount(generatePrivateKey()).address
export const EVIDENCE = create(EvidenceSchema, { statement: { meterAddress: fromAddress(METER.address) } })

const ESCROW = '0x52908400098527886E0F7030069857D2E4169EE7'
const TOKEN = '0x8617E340B3D01FA5F11F306F4090FD50E238070D'
const RESERVE = PriceKind.RESERVE

/** An hour of half a vCPU and 1 GiB, with a start fee and some traffic.
 * @param times of the quote, Unix milliseconds. */
export async function receiptFile({ issuedAtMs = 1_000n, expiresAtMs = 2_000n } = {}): Promise<ReceiptFile> {
  const place = { chainId: 1n, escrow: ESCROW } as const
  const resources = [
    { name: 'cpu', quantity: 500n, selector: '' },
    { name: 'memory', quantity: 2n ** 30n, selector: '' },
    { name: 'egress-bandwidth', quantity: 10n ** 9n, selector: '' },
  ]
  const draft = create(QuoteSchema, {
    id: new Uint8Array(16),
    publisherPeerId: new Uint8Array([1, 2]),
    providerPeerId: new Uint8Array([2, 3]),
    resources,
    issuedAtMs,
    expiresAtMs,
    pricing: {
      chainId: 1n,
      token: fromAddress(TOKEN),
      decimals: 6,
      symbol: 'USDC',
      prices: [
        { resource: 'cpu', kind: RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n },
        { resource: 'memory', kind: RESERVE, amount: '5001', perQuantity: 2n ** 30n, perSeconds: 3600n },
        { resource: 'egress-bandwidth', kind: PriceKind.USAGE, amount: '90000', perQuantity: 2n ** 30n },
        { resource: 'start', kind: PriceKind.FLAT, amount: '100', perQuantity: 1n },
      ],
    },
  })
  const { pricing } = draft
  if (!pricing) throw new Error('the draft has no prices')
  const rate = ratePerHour(pricing, resources)
  const payment = create(PaymentTermsSchema, {
    chainId: 1n,
    escrow: fromAddress(ESCROW),
    provider: fromAddress(PROVIDER),
    meter: fromAddress(METER.address),
    ratePerHour: rate.toString(),
    minUnlockDelaySeconds: 3600,
    minDeposit: '1',
  })
  const quote = create(QuoteSchema, { ...draft, payment })
  const signed = await signQuote(quote, { account: METER })
  const terms: ChannelTerms = {
    payer: PAYER.address,
    voucherSigner: ZERO_ADDRESS,
    provider: PROVIDER,
    meter: METER.address,
    token: TOKEN,
    ratePerHour: rate,
    unlockDelay: 3600,
    podId: `0x${'42'.repeat(32)}`,
  }
  const id = channelId(terms, place)
  const podDigest = await sha256(new TextEncoder().encode('the pod'))
  const peers = { publisherPeer: quote.publisherPeerId, providerPeer: quote.providerPeerId }
  const tied = { chainId: 1n, channelId: id, podDigest, quoteDigest: await quoteDigest(signed), ...peers }
  const usage = create(UsageSchema, {
    podId: new Uint8Array(32).fill(0x42),
    runningSeconds: 3_601n,
    counters: counters(resources, pricing, 3_601n).map((counter) =>
      counter.resource === 'egress-bandwidth' ? { ...counter, value: '12345678' } : counter,
    ),
    exit: { reason: 'stopped-by-publisher', containers: [{ name: 'job', exitCode: 3 }], endedAtMs: 9n },
  })
  return {
    ...place,
    terms,
    channelId: id,
    quote: signed,
    podDigest,
    evidenceDigest: await sha256(toBinary(EvidenceSchema, EVIDENCE)),
    authorization: await signAuthorization(tied, { account: PAYER }),
    receipt: await signReceipt(usage, { ...place, account: METER, terms, table: pricing }),
  }
}
