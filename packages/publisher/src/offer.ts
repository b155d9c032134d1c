/** What a provider announces, as a publisher looks at it: nothing here is believed, it only decides whom to ask. Spec: spec/REGISTRY.md. Pure. */
import type { ProviderRecord } from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import type { OpenedRecord } from '@trusted-pods/protocol/registry/record.ts'
import type { Address } from 'viem'
import type { ProviderAddress } from './dial.ts'
import type { LeaseProvider } from './lease.ts'

export interface ProviderOffer extends ProviderAddress {
  /** Announces it and is paid. */
  readonly account: Address
  readonly region: string
  /** Sandbox of the tenants: "runc", "runsc". */
  readonly sandbox: string
  readonly pricing: ProviderRecord['pricing']
  /** What the machine has in all; empty: not said. */
  readonly capacity: ProviderRecord['capacity']
  readonly attestations: ProviderRecord['attestations']
  readonly expiresAt: Date
}

/** Each part is read when it is asked for: most offers of a long list never are. */
export function toOffer(opened: OpenedRecord): ProviderOffer {
  return {
    get account() {
      return opened.account
    },
    get peerId() {
      return opened.peerId.toString()
    },
    get multiaddrs() {
      return opened.multiaddrs.map(String)
    },
    get region() {
      return opened.record.region
    },
    get sandbox() {
      return opened.record.sandbox
    },
    get pricing() {
      return opened.record.pricing
    },
    get capacity() {
      return opened.record.capacity
    },
    get attestations() {
      return opened.record.attestations
    },
    get expiresAt() {
      return new Date(Number(opened.record.expiresAtMs))
    },
  }
}

/** Platform ids that the provider says to be pinned to, for policies that want one of them. */
export function platformIds({ attestations }: ProviderOffer): Uint8Array[] {
  return attestations.map(({ platformId }) => platformId).filter((id) => id.length > 0)
}

/** What a lease keeps of it. */
export function leaseProvider(offer: ProviderOffer): LeaseProvider {
  const { account, peerId, multiaddrs } = offer
  return { account, peerId, multiaddrs, platformIds: platformIds(offer) }
}
