/** What a deployment may cost at most, as the user says it, and what nobody was asked about. */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { tokenMetadata } from '@trusted-pods/protocol/chain/token.ts'
import { parseAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { requireToken } from '@trusted-pods/publisher/payment.ts'
import type { SpendLimits } from '@trusted-pods/publisher/spend-limits.ts'

export interface LimitFlags {
  readonly maxPrice?: string
  readonly maxDeposit?: string
}

/**
 * The limits that were named; in place of those that were not, where nobody reads the plan before it is paid, the announced price
 * and the deposit that was asked for.
 * @throws TrustedPodsError CHANNEL_BAD_AMOUNT
 */
export async function parseLimits(
  chain: Chain,
  { maxPrice, maxDeposit, unattended }: LimitFlags & { unattended: boolean },
): Promise<SpendLimits> {
  const defaults: SpendLimits = unattended ? { maxRatePerHour: 'announced', maxDeposit: 'asked' } : {}
  if (maxPrice === undefined && maxDeposit === undefined) return defaults
  const token = await tokenMetadata(chain, requireToken(chain))
  return {
    ...defaults,
    ...(maxPrice !== undefined && { maxRatePerHour: parseAmount(maxPrice, token) }),
    ...(maxDeposit !== undefined && { maxDeposit: parseAmount(maxDeposit, token) }),
  }
}
