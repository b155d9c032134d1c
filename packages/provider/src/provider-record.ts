/** The provider's record: what it says of itself, signed by its peer key. Spec: spec/REGISTRY.md#record. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import type { Resource } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import {
  type AttestationHintSchema,
  type ProviderRecord,
  ProviderRecordSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import { signRecord } from '@trusted-pods/protocol/registry/record.ts'
import type { Attester } from './attester/attester.ts'

export interface RecordParts {
  readonly node: Libp2p
  readonly identity: PrivateKey
  readonly chain: Chain
  readonly pricing: PricingTable
  readonly capacity: readonly Resource[]
  readonly attester: Pick<Attester, 'evidenceType' | 'simulated' | 'findPlatformId'>
  readonly region: string
  readonly sandbox: string
}

/** A record is good for this long, and renewed well before. */
const RECORD_LIFETIME_MS = 30 * 24 * 3600_000
const MAX_ADDRESSES = 8

export async function makeRecord({ node, identity, chain, attester, ...parts }: RecordParts): Promise<Uint8Array> {
  const record = create(ProviderRecordSchema, {
    chainId: BigInt(chain.chainId),
    registry: fromAddress(chain.registry),
    account: fromAddress(requireWallet(chain).account.address),
    peerId: node.peerId.toMultihash().bytes,
    multiaddrs: node
      .getMultiaddrs()
      .slice(0, MAX_ADDRESSES)
      .map(({ bytes }) => bytes),
    region: parts.region,
    pricing: [parts.pricing],
    capacity: [...parts.capacity],
    attestations: [await attestationHint(attester)],
    sandbox: parts.sandbox,
  })
  return await renewRecord(record, identity)
}

/** The same record from now on. */
export function renewRecord(record: ProviderRecord, identity: PrivateKey): Promise<Uint8Array> {
  const now = Date.now()
  return signRecord({ ...record, sequence: BigInt(now), expiresAtMs: BigInt(now + RECORD_LIFETIME_MS) }, identity)
}

async function attestationHint(
  attester: RecordParts['attester'],
): Promise<MessageInitShape<typeof AttestationHintSchema>> {
  const { evidenceType, simulated } = attester
  const platformId = await attester.findPlatformId()
  return { evidenceType, simulated, ...(platformId && { platformId }) }
}
