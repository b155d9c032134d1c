/** Who sends the opening of a channel: the payer itself, or the provider where the payer has no coin for gas. Spec: spec/PAYMENT.md#relay. */
import { fromChain } from '@trusted-pods/protocol/chain/chain-error.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { canAuthorize } from '@trusted-pods/protocol/chain/deposit-authorization.ts'
import { hasPermit } from '@trusted-pods/protocol/chain/permit.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Address } from 'viem'

/** `auto`: relayed where there is too little gas coin and the provider offers it. */
export type FundingChoice = 'auto' | 'own' | 'relayed'

export interface Funding {
  readonly kind: 'own' | 'relayed'
  /** For people: how, and why so. */
  readonly how: string
}

/** Measured: 135,000 for permit and opening; the rest for an approval in its place. */
const OPENING_GAS = 200_000n

/**
 * @throws TrustedPodsError CHANNEL_RELAY_REFUSED when relaying is demanded, and the provider or the token does not offer it.
 */
export async function chooseFunding(
  chain: Chain,
  { token, relayMinDeposit }: { token: Address; relayMinDeposit: string },
  choice: FundingChoice = 'auto',
): Promise<Funding> {
  if (choice === 'own') return await ownFunding(chain, token, 'as chosen')
  const obstacle = await relayObstacle(chain, { token, relayMinDeposit })
  if (choice === 'relayed') {
    if (obstacle !== undefined) throw new TrustedPodsError('CHANNEL_RELAY_REFUSED', obstacle)
    return relayed('as chosen')
  }
  const { have, need } = await gasCoin(chain)
  if (have >= need) return await ownFunding(chain, token, 'the account has gas')
  if (obstacle === undefined) return relayed(`the account has ${have} wei for gas, an opening may need ${need}`)
  const short = `the account has ${have} wei for gas and may need ${need}: the transaction may be refused, and ${obstacle}`
  return await ownFunding(chain, token, short)
}

/** What the account has of the chain's coin, and what one opening may cost. */
export async function gasCoin(chain: Chain): Promise<{ have: bigint; need: bigint }> {
  const { address } = requireWallet(chain).account
  const [have, { maxFeePerGas }] = await Promise.all([
    fromChain('reading the gas balance', chain.public.getBalance({ address })),
    fromChain('reading the fees', chain.public.estimateFeesPerGas()),
  ])
  return { have, need: OPENING_GAS * maxFeePerGas }
}

/** Why nobody else can send a deposit; undefined: the provider does. */
async function relayObstacle(
  chain: Chain,
  { token, relayMinDeposit }: { token: Address; relayMinDeposit: string },
): Promise<string | undefined> {
  if (relayMinDeposit === '') return 'the provider sends no deposits for others'
  return (await canAuthorize(chain, token)) ? undefined : `token ${token} takes no transfers by signature (EIP-3009)`
}

function relayed(why: string): Funding {
  return { kind: 'relayed', how: `signed here, sent by the provider at its cost: ${why}` }
}

async function ownFunding(chain: Chain, token: Address, why: string): Promise<Funding> {
  const how = (await hasPermit(chain, token)) ? 'own transaction with a permit' : 'own transactions, an approval first'
  return { kind: 'own', how: `${how}: ${why}` }
}
