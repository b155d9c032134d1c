/** What a deployment tells on its way, by the seven steps of the protocol. Pure types. */
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import type { Lease } from './lease.ts'
import type { ProviderOffer } from './offer.ts'
import type { Plan } from './plan.ts'
import type { PayingLease, ProvisionEvent } from './provision.ts'
import type { LeaseStatus } from './status-stream.ts'

export type Step = 'manifest' | 'wire' | 'attest' | 'quote' | 'channel' | 'provision' | 'status'

export type DeployEvent =
  | { readonly step: 'manifest'; readonly images: number; readonly bytes: number }
  | { readonly step: 'wire'; readonly offer: ProviderOffer; readonly address: string }
  | { readonly step: 'attest'; readonly verdict: Verdict }
  | { readonly step: 'quote'; readonly plan: Plan }
  | { readonly step: 'channel'; readonly lease: PayingLease }
  | ProvisionEvent
  | { readonly step: 'status'; readonly lease: Lease; readonly status: LeaseStatus }
