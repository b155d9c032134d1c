/** How much to put into a channel, as the user says it. */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { tokenMetadata } from '@trusted-pods/protocol/chain/token.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { parseAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { requireToken } from '@trusted-pods/publisher/payment.ts'
import type { DepositChoice } from '@trusted-pods/publisher/plan.ts'

/** undefined: the user left it to us. @throws TrustedPodsError PLATFORM_CONFIG for both at once, CHANNEL_BAD_AMOUNT. */
export async function parseDeposit(
  chain: Chain,
  { deposit, hours }: { deposit?: string; hours?: number },
): Promise<DepositChoice | undefined> {
  if (deposit !== undefined && hours !== undefined) {
    throw new TrustedPodsError('PLATFORM_CONFIG', '--deposit and --hours say the same thing: give one of them')
  }
  if (hours !== undefined) return { kind: 'hours', hours }
  if (deposit === undefined) return undefined
  return { kind: 'amount', amount: parseAmount(deposit, await tokenMetadata(chain, requireToken(chain))) }
}
