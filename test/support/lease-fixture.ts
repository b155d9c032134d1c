/** A lease as an earlier run would have stored it, for tests that begin there. */
import { create } from '@bufbuild/protobuf'
import { toHex } from '@trusted-pods/protocol/bytes.ts'
import { ZERO_ADDRESS } from '@trusted-pods/protocol/chain/address.ts'
import { SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PriceKind, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import type { LeaseFacts, LeaseOf, ProvisionDraft } from '@trusted-pods/publisher/lease.ts'
import { Secret } from '@trusted-pods/publisher/secret.ts'
import type { Address } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const ADDRESS: Address = privateKeyToAccount(`0x${'11'.repeat(32)}`).address

export interface LeaseChanges {
  readonly name?: string
  readonly createdAt?: Date
  readonly payer?: Address
  readonly meter?: Address
  readonly provider?: Partial<LeaseFacts['provider']>
  readonly draft?: Partial<ProvisionDraft>
}

/** 500 mCPU at 45,000 base units per vCPU-hour, 100,000 base units deposited. */
export function leaseFacts({
  name = 'hello',
  createdAt = new Date(),
  payer = ADDRESS,
  meter = ADDRESS,
  provider,
}: LeaseChanges = {}): LeaseFacts {
  const id = toHex(crypto.getRandomValues(new Uint8Array(32)))
  return {
    id,
    name,
    createdAt,
    provider: {
      account: ADDRESS,
      peerId: '12D3KooWGRUVBgbSGwkTXpAX3kVbvY2Mh5UcWkT2cLS2gDcoGJXb',
      multiaddrs: ['/ip4/127.0.0.1/tcp/9'],
      platformIds: [],
      ...provider,
    },
    channel: {
      chainId: 31_337n,
      escrow: ADDRESS,
      terms: {
        payer,
        voucherSigner: ZERO_ADDRESS,
        provider: provider?.account ?? ADDRESS,
        meter,
        token: ADDRESS,
        ratePerHour: 22_500n,
        unlockDelay: 3600,
        podId: `0x${id}`,
      },
      deposit: 100_000n,
      sinceBlock: 7n,
    },
    pricing: create(PricingTableSchema, {
      chainId: 31_337n,
      token: new Uint8Array(20).fill(7),
      decimals: 6,
      symbol: 'tUSDC',
      prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
    }),
    resources: [create(ResourceSchema, { name: 'cpu', quantity: 500n })],
    simulated: true,
  }
}

export function provisionDraft(changes: Partial<ProvisionDraft> = {}): Secret<ProvisionDraft> {
  return new Secret({
    idempotencyKey: crypto.getRandomValues(new Uint8Array(16)),
    pod: new TextEncoder().encode('the key of the image'),
    quote: create(SignedQuoteSchema, { quote: new Uint8Array([1, 2, 3]), signature: new Uint8Array(65) }),
    ...changes,
  })
}

export function fundedLease(changes: LeaseChanges = {}): LeaseOf<'funded'> {
  return {
    ...leaseFacts(changes),
    kind: 'funded',
    draft: provisionDraft(changes.draft),
    openTransaction: `0x${'ab'.repeat(32)}`,
  }
}
