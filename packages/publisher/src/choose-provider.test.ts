import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type Policy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import {
  PriceKind,
  type PriceSchema,
  PricingTableSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { AttestationHintSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import { getAddress } from 'viem'
import { chooseProvider, type ProviderChoice, requireProvider } from './choose-provider.ts'
import type { ProviderOffer } from './offer.ts'

const TOKEN = getAddress(`0x${'07'.repeat(20)}`)
const RESOURCES = [create(ResourceSchema, { name: 'cpu', quantity: 2000n })]
const WANTED: ProviderChoice = {
  resources: RESOURCES,
  policy: { ...STRICT_POLICY, evidence: ['snp'] },
  chainId: 1n,
  token: TOKEN,
}

interface OfferChanges extends Partial<Omit<ProviderOffer, 'pricing' | 'capacity' | 'attestations'>> {
  prices?: MessageInitShape<typeof PriceSchema>[]
  chainId?: bigint
  cpu?: bigint
  simulated?: boolean
  evidenceType?: string
}

function offer(peerId: string, perCpuHour: number, changes: OfferChanges = {}): ProviderOffer {
  const { prices, chainId = 1n, cpu, simulated = false, evidenceType = 'snp', ...rest } = changes
  const price = {
    resource: 'cpu',
    kind: PriceKind.RESERVE,
    amount: `${perCpuHour}`,
    perQuantity: 1000n,
    perSeconds: 3600n,
  }
  return {
    peerId,
    account: getAddress(`0x${'aa'.repeat(20)}`),
    multiaddrs: [],
    region: '',
    sandbox: '',
    pricing: [
      create(PricingTableSchema, {
        chainId,
        token: fromAddress(TOKEN),
        decimals: 6,
        symbol: 'USDC',
        prices: prices ?? [price],
      }),
    ],
    capacity: cpu === undefined ? [] : [create(ResourceSchema, { name: 'cpu', quantity: cpu })],
    attestations: [create(AttestationHintSchema, { evidenceType, simulated })],
    expiresAt: new Date('2030-01-01'),
    ...rest,
  }
}

function names({ ranked }: ReturnType<typeof chooseProvider>): string[] {
  return ranked.map(({ offer }) => offer.peerId)
}

test('the cheapest for this pod comes first; equals come in a fixed order', () => {
  const choice = chooseProvider([offer('d', 300), offer('c', 100), offer('b', 200), offer('a', 200)], WANTED)
  assert.deepEqual(names(choice), ['c', 'a', 'b', 'd'])
  assert.equal(choice.ranked[0]?.ratePerHour, 200n)
})

test('every provider that is out of question has a reason, and spoils nothing for the others', () => {
  const offers = [
    offer('fits', 100),
    offer('other chain', 1, { chainId: 2n }),
    offer('other type', 1, { evidenceType: 'tdx' }),
    offer('too small', 1, { cpu: 1000n }),
    offer('no such price', 1, { prices: [] }),
    offer('simulated', 1, { simulated: true }),
  ]
  const choice = chooseProvider(offers, WANTED)
  assert.deepEqual(names(choice), ['fits'])
  const reasons = Object.fromEntries(choice.rejected.map(({ offer, reason }) => [offer.peerId, reason]))
  assert.match(reasons['other chain'] ?? '', /no prices in token/)
  assert.match(reasons['other type'] ?? '', /no evidence of type snp/)
  assert.match(reasons['too small'] ?? '', /has 1000 of cpu in all, 2000 are needed/)
  assert.match(reasons['no such price'] ?? '', /no price for cpu/)
  assert.match(reasons.simulated ?? '', /no evidence/)
})

test('simulated evidence is in question only for a policy that names a root', () => {
  const policy: Policy = { ...STRICT_POLICY, simulatedRoots: ['00'.repeat(32)] }
  assert.deepEqual(names(chooseProvider([offer('simulated', 1, { simulated: true })], { ...WANTED, policy })), [
    'simulated',
  ])
})

test('a provider can be named by peer id or account', () => {
  const offers = [offer('a', 100), offer('b', 1, { account: getAddress(`0x${'bb'.repeat(20)}`) })]
  assert.deepEqual(names(chooseProvider(offers, { ...WANTED, only: 'a' })), ['a'])
  assert.deepEqual(names(chooseProvider(offers, { ...WANTED, only: `0x${'BB'.repeat(20)}` })), ['b'])
  assert.deepEqual(names(chooseProvider(offers, { ...WANTED, only: 'c' })), [])
})

test('when nobody fits, QUOTE_NO_PROVIDER says why for each', () => {
  const refused = (offers: ProviderOffer[]) => {
    try {
      requireProvider(chooseProvider(offers, WANTED))
    } catch (error) {
      return error instanceof TrustedPodsError && error.code === 'QUOTE_NO_PROVIDER' ? error.message : undefined
    }
    return undefined
  }
  assert.match(refused([]) ?? '', /none is announced/)
  assert.match(refused([offer('small', 1, { cpu: 1n })]) ?? '', /small: has 1 of cpu/)
  assert.match(refused(Array.from({ length: 8 }, (_, i) => offer(`p${i}`, 1, { cpu: 1n }))) ?? '', /and 3 more/)
})
