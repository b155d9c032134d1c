import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PriceSchema, PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { AttestationHintSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import { getAddress } from 'viem'
import { filterOffers, type OfferFilter } from './filter-offers.ts'
import type { ProviderOffer } from './offer.ts'

const gpu = (selector: string, quantity = 1n) => create(ResourceSchema, { name: 'nvidia.com/gpu', selector, quantity })
const priced = (selector: string) =>
  create(PricingTableSchema, { prices: [create(PriceSchema, { resource: 'nvidia.com/gpu', selector })] })

const OFFERS = [
  offer('fsn', { region: 'DE/fsn1', sandbox: 'runsc', capacity: [gpu('H100')] }),
  offer('nbg', { region: 'de/nbg1', sandbox: 'runc', capacity: [gpu('H100', 0n)] }),
  offer('den', { region: 'DEN/cph', attestations: [hint('tdx')], pricing: [priced('A100')] }),
  offer('sim', {
    attestations: [hint('tdx', true)],
    capacity: [create(ResourceSchema, { name: 'cpu', quantity: 1n })],
  }),
]

const FILTERS: readonly [OfferFilter, string[]][] = [
  [{}, ['fsn', 'nbg', 'den', 'sim']],
  [{ region: 'DE' }, ['fsn', 'nbg']],
  [{ region: 'de/FSN1' }, ['fsn']],
  [{ region: 'fsn1' }, []],
  [{ sandbox: 'runsc' }, ['fsn']],
  [{ tee: 'tdx' }, ['den', 'sim']],
  [{ tee: 'TDX', simulated: false }, ['den']],
  [{ simulated: false }, ['fsn', 'nbg', 'den']],
  [{ gpu: 'any' }, ['fsn', 'den']],
  [{ gpu: 'h100' }, ['fsn']],
  [{ gpu: 'A100', region: 'DEN' }, ['den']],
  [{ gpu: 'B200' }, []],
]

for (const [filter, wanted] of FILTERS) {
  test(`${JSON.stringify(filter)} finds ${wanted.join(', ') || 'none'}`, () => {
    assert.deepEqual(
      filterOffers(OFFERS, filter).map(({ peerId }) => peerId),
      wanted,
    )
  })
}

function hint(evidenceType: string, simulated = false) {
  return create(AttestationHintSchema, { evidenceType, simulated })
}

function offer(peerId: string, fields: Partial<ProviderOffer>): ProviderOffer {
  return {
    peerId,
    account: getAddress(`0x${'aa'.repeat(20)}`),
    multiaddrs: [],
    region: '',
    sandbox: '',
    pricing: [],
    capacity: [],
    attestations: [hint('snp')],
    expiresAt: new Date(0),
    ...fields,
  }
}
