/**
 * Answers a provider that asks for a voucher: at most what a receipt that we verified says, and never above the deposit.
 * Spec: spec/PAYMENT.md#voucher.
 */

import type { Connection } from '@libp2p/interface'
import { smaller } from '@trusted-pods/protocol/bigints.ts'
import { fromHex } from '@trusted-pods/protocol/bytes.ts'
import { signVoucher } from '@trusted-pods/protocol/channel/voucher.ts'
import { VoucherRequestSchema, VoucherResponseSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/lease_pb.ts'
import { request } from '@trusted-pods/protocol/wire/exchange.ts'
import { VOUCHER } from '@trusted-pods/protocol/wire/protocols.ts'
import { throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import type { LocalAccount } from 'viem'
import type { LeaseFacts } from './lease.ts'
import type { LeaseStatus } from './status-stream.ts'

export interface GiveVoucherOptions {
  /** The payer, or the voucher signer that the terms name. */
  readonly account: LocalAccount
  readonly signal?: AbortSignal
}

/** What a voucher may be signed for, given a status; undefined: none was asked for, or nothing proves that it is owed. */
export function voucherFor({ channel }: LeaseFacts, { funds, receipt }: LeaseStatus): bigint | undefined {
  if (funds.voucherWanted === undefined || receipt.kind !== 'verified') return undefined
  const sum = smaller(smaller(funds.voucherWanted, receipt.owed), channel.deposit)
  return sum > 0n ? sum : undefined
}

/** @throws TrustedPodsError as the provider refuses it, with remote. */
export async function giveVoucher(
  connection: Connection,
  lease: LeaseFacts,
  cumulative: bigint,
  { account, signal }: GiveVoucherOptions,
): Promise<void> {
  const { signature } = await signVoucher(cumulative, { ...lease.channel, account })
  const message = { podId: fromHex(lease.id) ?? new Uint8Array(), cumulative: cumulative.toString(), signature }
  const ask = { request: VoucherRequestSchema, message, response: VoucherResponseSchema }
  const { refusal } = await request(connection, VOUCHER, ask, signal ? { signal } : {})
  if (refusal) throwRefusal(refusal)
}
