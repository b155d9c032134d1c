/** What a configuration says of how far a chain's endpoints and contracts are believed. Spec: spec/PAYMENT.md#chain. */
import type { Hex } from 'viem'
import type { ConfigSection } from './config-section.ts'

export interface ChainGuards {
  readonly maxHeadAgeSeconds?: number
  readonly escrowCodeHash?: Hex
}

const DAY_SECONDS = 24 * 3600

/** @throws TrustedPodsError PLATFORM_CONFIG. */
export function readChainGuards(section: ConfigSection): ChainGuards {
  const hash = section.optionalText('escrowCodeHash')
  if (hash !== undefined && !/^0x[0-9a-f]{64}$/i.test(hash))
    section.fail('escrowCodeHash', 'must be 0x and 64 hex digits, in quotes')
  const age = section.integer('maxHeadAgeSeconds', { min: 0, max: DAY_SECONDS, fallback: 0 })
  return { ...(age > 0 && { maxHeadAgeSeconds: age }), ...(hash !== undefined && { escrowCodeHash: hash as Hex }) }
}
