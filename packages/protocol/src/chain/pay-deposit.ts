/**
 * Tokens of the wallet into the escrow by one transaction: with a permit, or an allowance that is there; else approved first. Of two
 * payments at once one may use the other's permit or allowance up: it is then signed anew. Spec: spec/PAYMENT.md#open.
 */
import { type Address, encodeFunctionData, type Hex } from 'viem'
import { type ErrorCode, TrustedPodsError } from '../errors.ts'
import { type Chain, requireWallet } from './client.ts'
import { encodeMulticall, type SendOptions, send } from './escrow-call.ts'
import { podEscrowAbi } from './gen/pod-escrow.ts'
import { permitNonce, signPermit } from './permit.ts'
import { approveToken, tokenAllowance, tokenBalance } from './token.ts'
import type { Mined } from './transact.ts'

export interface Payment extends SendOptions {
  readonly token: Address
  readonly amount: bigint
  readonly call: Hex
  readonly intent: string
}

/** Somebody who pays from the same account at the same time, again and again: each time one of both goes through, so that 16 losses in a
 * row are one in 65,536. Most are seen before anything is sent. */
const PERMIT_TRIES = 16

/** One transaction with a permit or an allowance that is there already, else two. */
export async function pay(chain: Chain, payment: Payment): Promise<Mined> {
  for (let tries = 1; ; tries++) {
    const outcome = await payOnce(chain, payment)
    if (!('isOvertaken' in outcome)) return outcome
    if (tries >= PERMIT_TRIES) throw outcome.error
  }
}

/** Another transaction of the account has used the permit's nonce, or the allowance, before: nothing was paid. */
interface Overtaken {
  readonly isOvertaken: true
  readonly error: TrustedPodsError
}

async function payOnce(chain: Chain, { token, amount, call, ...options }: Payment): Promise<Mined | Overtaken> {
  const owner = requireWallet(chain).account.address
  const balance = await tokenBalance(chain, { token, account: owner })
  if (balance < amount) {
    throw new TrustedPodsError(
      'CHANNEL_NO_FUNDS',
      `${owner} has ${balance} base units of token ${token}, the deposit is ${amount}`,
    )
  }
  const allowance = await tokenAllowance(chain, { token, owner, spender: chain.escrow })
  if (allowance >= amount) {
    const isLess = async () => (await tokenAllowance(chain, { token, owner, spender: chain.escrow })) < amount
    return await unlessOvertaken(chain, send(chain, call, options), isLess)
  }
  const permit = await signPermit(chain, { token, spender: chain.escrow, amount })
  if (permit === undefined) {
    await approveToken(chain, { token, to: chain.escrow, amount, signal: options.signal })
    return await send(chain, call, options)
  }
  const args = [token, amount, permit.deadline, permit.v, permit.r, permit.s] as const
  const permitCall = encodeFunctionData({ abi: podEscrowAbi, functionName: 'selfPermit', args })
  const isUsed = async () => (await permitNonce(chain, token)) !== permit.nonce
  return await unlessOvertaken(chain, send(chain, encodeMulticall([permitCall, call]), options), isUsed)
}

/** A signer that sends by itself is not asked again: what it has sent before may still be mined. */
async function unlessOvertaken(
  chain: Chain,
  sending: Promise<Mined>,
  isOvertaken: () => Promise<boolean>,
): Promise<Mined | Overtaken> {
  try {
    return await sending
  } catch (error) {
    const isRefusal = error instanceof TrustedPodsError && REFUSALS.has(error.code)
    if (isRefusal && !requireWallet(chain).external && (await isOvertaken())) return { isOvertaken: true, error }
    throw error
  }
}

/** Tokens say in words of their own that there is too little allowance. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['CHANNEL_NO_FUNDS', 'CHANNEL_TRANSACTION_FAILED'])
