/** Puts more money into the channel of a lease. Spec: spec/PAYMENT.md#funds. */
import type { Chain } from '@trusted-pods/protocol/chain/client.ts'
import { topUp } from '@trusted-pods/protocol/chain/escrow.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Hex } from 'viem'
import { requirePayer } from './channel.ts'
import type { Lease, LeaseStore } from './lease.ts'
import { channelOf, notShown } from './settle.ts'

export interface FundLeaseOptions {
  /** Base units to add. */
  readonly amount: bigint
  readonly leases: LeaseStore
  readonly signal?: AbortSignal
}

export interface Funded {
  /** With the deposit as the chain has it now. */
  readonly lease: Lease
  readonly transaction: Hex
  /** An earlier run had sent the same: nothing was added now. */
  readonly isEarlier: boolean
}

/**
 * @throws TrustedPodsError STATUS_NOT_RUNNING for a lease that closes or has ended, CHANNEL_CLOSING, CHANNEL_NO_FUNDS; as
 * `transact`: the top-up is then kept, and asked for again it is not paid twice.
 */
export async function fundLease(
  chain: Chain,
  lease: Lease,
  { amount, leases, signal }: FundLeaseOptions,
): Promise<Funded> {
  if (lease.kind === 'closing' || lease.kind === 'ended')
    throw new TrustedPodsError('STATUS_NOT_RUNNING', `the lease is ${lease.kind}: it takes no more funds`)
  requirePayer(chain, lease)
  const before = await channelOf(chain, lease)
  if (!before) throw notShown(lease)
  if (before.closed || before.closeAt !== 0)
    throw new TrustedPodsError('CHANNEL_CLOSING', 'the channel is closed or about to be: it takes no more funds')
  const { transaction, isEarlier } = await topUp(chain, lease.channel.terms, { deposit: amount, signal })
  const state = await channelOf(chain, lease)
  const deposit =
    state && state.deposited > before.deposited ? state.deposited : before.deposited + (isEarlier ? 0n : amount)
  const funded = { ...lease, channel: { ...lease.channel, deposit } }
  await leases.save(funded)
  return { lease: funded, transaction, isEarlier: isEarlier === true }
}
