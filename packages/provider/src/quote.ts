/** /trusted-pods/provisioning-capacity/0.0.1: what is free, and a signed price for what was asked. Spec: spec/PROTOCOL.md#quote. */
import { create } from '@bufbuild/protobuf'
import type { Connection, PeerId } from '@libp2p/interface'
import { larger } from '@trusted-pods/protocol/bigints.ts'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import type { OwnPayment } from '@trusted-pods/protocol/channel/check-channel.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  type CapacityRequest,
  type Offer,
  OfferSchema,
  QuoteSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type PaymentTerms, PaymentTermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Resource } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { ratePerHour } from '@trusted-pods/protocol/pricing/price.ts'
import { signQuote } from '@trusted-pods/protocol/pricing/quote.ts'
import { MAX_PORTS, MAX_RESOURCES } from '@trusted-pods/protocol/wire/protocols.ts'
import type { LocalAccount } from 'viem'
import type { Capacity } from './capacity.ts'
import type { ChainLink } from './chain-link.ts'
import type { RequireRoom } from './image-room.ts'
import { usedResources } from './prices.ts'
import type { Relay } from './relay.ts'

export interface QuoteParts {
  readonly link: ChainLink
  readonly relay: Pick<Relay, 'leastDeposit'>
  readonly capacity: Capacity
  readonly pricing: PricingTable
  readonly own: OwnPayment
  /** The attested meter key. */
  readonly account: LocalAccount
  readonly peerId: PeerId
  /** How long a quote and its hold last. */
  readonly quoteMs: number
  /** Least running time that a deposit must pay for. */
  readonly minRuntimeMinutes: number
  /** Patterns of host names that are served here: "example.org" or "*.example.org". */
  readonly hosts: readonly string[]
  readonly requireRoom: RequireRoom
}

/** Who asks, and from where. */
export type Asker = Pick<Connection, 'remotePeer' | 'remoteAddr'>

/** @throws TrustedPodsError QUOTE_… naming what cannot be offered; CHANNEL_RPC_UNAVAILABLE while a deposit could not be seen. */
export async function makeOffer(
  request: CapacityRequest,
  { remotePeer: publisher, remoteAddr }: Asker,
  parts: QuoteParts,
): Promise<Offer> {
  parts.link.require()
  checkRequest(request, parts)
  await parts.requireRoom(request.imageBytes)
  const { capacity, pricing, account, peerId, quoteMs } = parts
  const payment = await paymentTerms(request.resources, parts)
  const id = crypto.getRandomValues(new Uint8Array(16))
  const issuedAtMs = Date.now()
  const { resources, httpHosts, imageBytes } = request
  const free = capacity.free(issuedAtMs)
  const expiresAtMs = issuedAtMs + quoteMs
  const claim = { quoteId: toHex(id), publisher: publisher.toString(), resources, httpHosts }
  const isHeld = capacity.hold({ ...claim, address: hostOf(remoteAddr), expiresAtMs }, issuedAtMs)
  const quote = create(QuoteSchema, {
    id,
    publisherPeerId: publisher.toMultihash().bytes,
    providerPeerId: peerId.toMultihash().bytes,
    resources,
    httpHosts,
    pricing,
    payment,
    issuedAtMs: BigInt(issuedAtMs),
    expiresAtMs: BigInt(expiresAtMs),
    holdExpiresAtMs: isHeld ? BigInt(expiresAtMs) : 0n,
    imageBytes,
  })
  return create(OfferSchema, { free, quote: await signQuote(quote, { account }) })
}

function checkRequest({ resources, httpHosts }: CapacityRequest, { hosts, pricing }: QuoteParts): void {
  if (resources.length === 0 || resources.length > MAX_RESOURCES)
    bad(`${resources.length} resources asked, 1 to ${MAX_RESOURCES} are allowed`)
  if (httpHosts.length > MAX_PORTS) bad(`${httpHosts.length} host names asked, at most ${MAX_PORTS} are allowed`)
  const seen = new Set<string>()
  for (const { name, selector, quantity } of resources) {
    if (seen.has(`${name} ${selector}`)) bad(`${name} is asked for twice`)
    if (quantity === 0n) bad(`0 of ${name} are asked for`)
    seen.add(`${name} ${selector}`)
  }
  for (const used of usedResources(pricing)) {
    // Without an allowance the pod's network would be closed from the beginning.
    if (!resources.some(({ name }) => name === used))
      bad(`${used} is priced here by use: say how many bytes the pod may use in an hour (resources: ${used})`)
  }
  for (const host of httpHosts) {
    if (!hosts.some((pattern) => matchesHost(host, pattern)))
      bad(`host ${host} is not served here; served are ${hosts.join(', ') || 'none'}`)
  }
}

function matchesHost(host: string, pattern: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) && host.length >= pattern.length : host === pattern
}

async function paymentTerms(
  resources: readonly Resource[],
  { pricing, own, minRuntimeMinutes, relay }: QuoteParts,
): Promise<PaymentTerms> {
  const rate = ratePerHour(pricing, resources)
  const minDeposit = larger((rate * BigInt(minRuntimeMinutes) + 59n) / 60n, 1n)
  const relayMinDeposit = await relay.leastDeposit(minDeposit)
  return create(PaymentTermsSchema, {
    chainId: BigInt(own.chainId),
    escrow: fromAddress(own.escrow),
    provider: fromAddress(own.provider),
    meter: fromAddress(own.meter),
    ratePerHour: rate.toString(),
    minUnlockDelaySeconds: own.minUnlockDelaySeconds,
    minDeposit: minDeposit.toString(),
    relayMinDeposit: relayMinDeposit?.toString() ?? '',
  })
}

function bad(message: string): never {
  throw new TrustedPodsError('QUOTE_BAD_REQUEST', message)
}

/** The host of a multiaddr: its first component's value; of IPv6 the /64, which is what one subscriber has. */
function hostOf(address: Connection['remoteAddr']): string {
  const [first] = address.getComponents()
  if (first?.name !== 'ip6') return first?.value ?? address.toString()
  const [head = '', tail] = (first.value ?? '').split('::')
  const groups = head.split(':').filter((group) => group !== '')
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(':').filter((group) => group !== '').length
  return [...groups, ...Array.from({ length: zeros }, () => '0')].slice(0, 4).join(':')
}
