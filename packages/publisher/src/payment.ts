/** How we pay a provider: where, in what, and whose signature. Pure. */
import { toAddress } from '@trusted-pods/protocol/chain/address.ts'
import { type Chain, requireWallet } from '@trusted-pods/protocol/chain/client.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { PricingTable } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { type Address, isAddressEqual, type LocalAccount } from 'viem'
import type { ProviderOffer } from './offer.ts'
import type { PaymentExpectation } from './quote.ts'

/** The channel's payer: signs that a channel pays for a pod. @throws TrustedPodsError CHANNEL_WALLET without one. */
export function channelPayer(chain: Chain): LocalAccount {
  return requireWallet(chain).account
}

/** What a quote of this provider is held against. @throws TrustedPodsError CHANNEL_WRONG_CHAIN when no token is set. */
export function paymentFor(
  { account, pricing }: Pick<ProviderOffer, 'account' | 'pricing'>,
  chain: Chain,
): { payment: PaymentExpectation; announced?: PricingTable } {
  const { escrow } = chain
  const payment = { chainId: BigInt(chain.chainId), escrow, token: requireToken(chain), provider: account }
  const announced = pricingIn(pricing, payment)
  return { payment, ...(announced && { announced }) }
}

/** The price list in a token, if there is one. */
export function pricingIn(
  lists: readonly PricingTable[],
  { chainId, token }: { chainId: bigint; token: Address },
): PricingTable | undefined {
  return lists.find(
    (list) => list.chainId === chainId && isAddressEqual(toAddress(list.token, 'QUOTE_PRICES_INVALID'), token),
  )
}

export function requireToken({ token, chainId }: Chain): Address {
  if (token === undefined)
    throw new TrustedPodsError('CHANNEL_WRONG_CHAIN', `no token to pay with is set for chain ${chainId}`)
  return token
}
