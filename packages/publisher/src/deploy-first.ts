/** Deploys on the first provider that can: as long as nothing was paid, the next one is tried. */
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Manifest } from '@trusted-pods/protocol/manifest/manifest.ts'
import { type DeployOptions, deploy } from './deploy.ts'
import type { DeployEvent } from './deploy-event.ts'
import type { ProviderOffer } from './offer.ts'

/** A provider that was given up for the next one. */
export interface PassedOver {
  readonly step: 'passed-over'
  readonly offer: ProviderOffer
  readonly error: TrustedPodsError
}

/** Failures that lie with one provider: another may do. */
const ELSEWHERE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'WIRE_DIAL_FAILED',
  'WIRE_CLOSED',
  'WIRE_TIMEOUT',
  'WIRE_TRUNCATED',
  'WIRE_BUSY',
  'WIRE_MALFORMED',
  'WIRE_FRAME_TOO_LONG',
  'WIRE_UNSUPPORTED_PROTOCOL',
  'WIRE_INTERNAL',
  'ATTEST_REFUSED',
  'ATTEST_STALE',
  'ATTEST_UNAVAILABLE',
  'ATTEST_UNKNOWN_EVIDENCE_TYPE',
  'ATTEST_EVIDENCE_MALFORMED',
  'QUOTE_NO_CAPACITY',
  'QUOTE_HOST_TAKEN',
  'QUOTE_BAD_REQUEST',
  'QUOTE_UNKNOWN_RESOURCE',
  'QUOTE_PRICES_INVALID',
  'QUOTE_SIGNATURE',
  'QUOTE_EXPIRED',
  'QUOTE_MISMATCH',
  'QUOTE_TOO_EXPENSIVE',
  'CHANNEL_WRONG_CHAIN',
  'CHANNEL_UNDERFUNDED',
  'CHANNEL_RELAY_REFUSED',
])

/** Events as of `deploy`. @throws what the last provider's deployment threw, or any failure after the plan was confirmed. */
export async function* deployOnFirst(
  manifest: Manifest,
  offers: readonly ProviderOffer[],
  options: DeployOptions,
): AsyncGenerator<DeployEvent | PassedOver> {
  for (const [i, offer] of offers.entries()) {
    let isConfirmed = false
    const confirm: DeployOptions['confirm'] = async (plan) => {
      isConfirmed = await options.confirm(plan)
      return isConfirmed
    }
    try {
      yield* deploy(manifest, offer, { ...options, confirm })
      return
    } catch (error) {
      if (isConfirmed || i === offers.length - 1 || !isElsewhere(error)) throw error
      yield { step: 'passed-over', offer, error }
    }
  }
}

function isElsewhere(error: unknown): error is TrustedPodsError {
  return error instanceof TrustedPodsError && ELSEWHERE.has(error.code)
}
