/**
 * What a provider checks of a channel before anything runs: pure over the terms, what the chain says, its own quote and its own
 * configuration. Spec: spec/PAYMENT.md#checks. Pure.
 */
import { type Address, isAddressEqual } from 'viem'
import { toAddress, ZERO_ADDRESS } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import type { PaymentTerms } from '../gen/trustedpods/v0/payment_pb.ts'
import { type ChannelTerms, MAX_UNLOCK_DELAY_SECONDS } from './terms.ts'

/** A channel as the escrow contract holds it. */
export interface ChannelState {
  /** Base units ever put in. */
  readonly deposited: bigint
  /** Base units ever claimed. */
  readonly claimed: bigint
  /** Unix seconds of the opening block. */
  readonly openedAt: number
  /** Unix seconds after which the cap no longer grows; 0: it grows. */
  readonly accrualEnd: number
  /** Unix seconds from which the payer may take the rest; 0: no close was requested. */
  readonly closeAt: number
  /** Ended for good: the id is never used again. */
  readonly closed: boolean
}

/** What the provider itself says, whatever the request says. */
export interface OwnPayment {
  readonly chainId: number | bigint
  readonly escrow: Address
  readonly provider: Address
  /** Its attested meter key. */
  readonly meter: Address
  /** Tokens that it accepts. */
  readonly tokens: readonly Address[]
  readonly minUnlockDelaySeconds: number
}

export interface CheckTermsInput {
  readonly terms: ChannelTerms
  /** The chain and contract that the request names. */
  readonly chainId: number | bigint
  readonly escrow: Address
  /** What the provider's own quote asks for. */
  readonly payment: PaymentTerms
  /** The token of the quote's price table. */
  readonly token: Address | Uint8Array
  readonly own: OwnPayment
}

export interface CheckChannelInput extends CheckTermsInput {
  /** Undefined: the contract knows no such channel. */
  readonly state: ChannelState | undefined
}

/**
 * The channel's state, once it is certain that it pays for the quote.
 * @throws TrustedPodsError CHANNEL_WRONG_CHAIN, CHANNEL_BAD_TERMS, CHANNEL_NOT_FOUND, CHANNEL_CLOSING, CHANNEL_IN_USE or
 * CHANNEL_UNDERFUNDED, the first that applies.
 */
export function checkChannel(input: CheckChannelInput): ChannelState {
  checkTerms(input)
  return checkState(input)
}

/** What can be said before the channel is there. @throws TrustedPodsError CHANNEL_WRONG_CHAIN, CHANNEL_BAD_TERMS. */
export function checkTerms(input: CheckTermsInput): void {
  checkPlace(input)
  checkParties(input)
}

function checkPlace({ chainId, escrow, payment, own }: CheckTermsInput): void {
  if (BigInt(chainId) !== BigInt(own.chainId) || payment.chainId !== BigInt(own.chainId)) {
    refuse('CHANNEL_WRONG_CHAIN', `the channel is on chain ${chainId}, wanted ${own.chainId}`)
  }
  if (!isAddressEqual(escrow, own.escrow) || !isAddressEqual(toAddress(payment.escrow), own.escrow)) {
    refuse('CHANNEL_WRONG_CHAIN', `the channel is in escrow ${escrow}, wanted ${own.escrow}`)
  }
}

function checkParties({ terms, payment, token, own }: CheckTermsInput): void {
  requireSame('provider', terms.provider, own.provider)
  requireSame('meter', terms.meter, own.meter)
  requireSame('token', terms.token, toAddress(token))
  if (!own.tokens.some((accepted) => isAddressEqual(accepted, terms.token)))
    badTerms(`token ${terms.token} is not accepted`)
  if (isAddressEqual(terms.payer, ZERO_ADDRESS)) badTerms('the payer is the zero address')
  const rate = BigInt(payment.ratePerHour)
  if (terms.ratePerHour < rate) badTerms(`the rate per hour is ${terms.ratePerHour}, the quote asks for ${rate}`)
  const least = Math.max(payment.minUnlockDelaySeconds, own.minUnlockDelaySeconds)
  if (terms.unlockDelay < least || terms.unlockDelay > MAX_UNLOCK_DELAY_SECONDS) {
    badTerms(`the unlock delay is ${terms.unlockDelay} s, wanted ${least} to ${MAX_UNLOCK_DELAY_SECONDS} s`)
  }
}

function checkState({ state, payment }: CheckChannelInput): ChannelState {
  if (state === undefined) refuse('CHANNEL_NOT_FOUND', 'the escrow knows no channel with these terms')
  if (state.closed) refuse('CHANNEL_CLOSING', 'the channel is closed')
  if (state.closeAt !== 0)
    refuse('CHANNEL_CLOSING', `its payer asked to close the channel; it ends at ${formatSeconds(state.closeAt)}`)
  if (state.claimed !== 0n)
    refuse('CHANNEL_IN_USE', `${state.claimed} base units were already claimed from the channel`)
  if (state.deposited < BigInt(payment.minDeposit)) {
    refuse('CHANNEL_UNDERFUNDED', `the deposit is ${state.deposited} base units, wanted at least ${payment.minDeposit}`)
  }
  return state
}

function requireSame(field: string, seen: Address, wanted: Address): void {
  if (!isAddressEqual(seen, wanted)) badTerms(`the ${field} is ${seen}, wanted ${wanted}`)
}

function formatSeconds(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString()
}

function badTerms(message: string): never {
  refuse('CHANNEL_BAD_TERMS', message)
}

type Refusal =
  | 'CHANNEL_WRONG_CHAIN'
  | 'CHANNEL_BAD_TERMS'
  | 'CHANNEL_NOT_FOUND'
  | 'CHANNEL_CLOSING'
  | 'CHANNEL_IN_USE'
  | 'CHANNEL_UNDERFUNDED'

function refuse(code: Refusal, message: string): never {
  throw new TrustedPodsError(code, message)
}
