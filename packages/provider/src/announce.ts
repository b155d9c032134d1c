/** The provider's record in the registry: signed by its peer key, announced by its account. Spec: spec/REGISTRY.md. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { announce } from '@trusted-pods/protocol/chain/registry.ts'
import type { Resource } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import type { PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import {
  type AttestationHintSchema,
  ProviderRecordSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { signRecord } from '@trusted-pods/protocol/registry/record.ts'
import type { Hex } from 'viem'
import type { Attester } from './attester/attester.ts'
import { pause } from './pause.ts'

export interface AnnounceParts {
  readonly node: Libp2p
  readonly identity: PrivateKey
  readonly chain: Chain
  readonly pricing: PricingTable
  readonly capacity: readonly Resource[]
  readonly attester: Attester
  readonly region: string
  readonly sandbox: string
  readonly log: Logger
}

/** A record is good for this long, and renewed well before. */
const RECORD_LIFETIME_MS = 30 * 24 * 3600_000
const RENEW_MS = 7 * 24 * 3600_000
/** After an announcement that failed: a chain that is away, an account without coin for gas. */
const RETRY_MS = 30_000
const MAX_ADDRESSES = 8

/** Announces at once and from then on; a chain that cannot be reached holds up nothing but the listing. */
export async function keepAnnouncing(parts: AnnounceParts): Promise<AsyncDisposable> {
  const stop = new AbortController()
  const { signal } = stop
  let waitMs = await tryAnnouncing(parts)
  const renew = async () => {
    for (await pause(waitMs, signal); !signal.aborted; await pause(waitMs, signal)) waitMs = await tryAnnouncing(parts)
  }
  const renewing = renew()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the provider is stopping'))
      await renewing
    },
  }
}

/** How long until the next. */
async function tryAnnouncing(parts: AnnounceParts): Promise<number> {
  try {
    parts.log.info('announced in the registry', { transaction: await announceProvider(parts) })
    return RENEW_MS
  } catch (error) {
    parts.log.error('not announced yet: publishers do not find this provider', { reason: String(error) })
    return RETRY_MS
  }
}

async function announceProvider(parts: AnnounceParts): Promise<Hex> {
  const { node, identity, chain, attester } = parts
  const now = Date.now()
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
    sequence: BigInt(now),
    expiresAtMs: BigInt(now + RECORD_LIFETIME_MS),
  })
  const { transaction } = await announce(chain, await signRecord(record, identity))
  return transaction
}

async function attestationHint(attester: Attester): Promise<MessageInitShape<typeof AttestationHintSchema>> {
  const { evidenceType, simulated } = attester
  const platformId = await attester.findPlatformId()
  return { evidenceType, simulated, ...(platformId && { platformId }) }
}
