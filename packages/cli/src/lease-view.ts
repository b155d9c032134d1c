/** A lease as people and scripts see it: no secret, no bytes. Pure. */
import { channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import type { Lease } from '@trusted-pods/publisher/lease.ts'

const SHORT_ID = 12

/** Long enough to be unique among a person's leases, short enough to type. */
export function shortId(id: string): string {
  return id.slice(0, SHORT_ID)
}

export function leaseJson(lease: Lease) {
  const { id, name, createdAt, provider, channel, simulated, kind } = lease
  return {
    lease: id,
    name,
    phase: kind,
    createdAt,
    simulated,
    provider: { peerId: provider.peerId, account: provider.account },
    channel: {
      id: channelId(channel.terms, channel),
      chainId: channel.chainId.toString(),
      escrow: channel.escrow,
      token: channel.terms.token,
      deposit: channel.deposit.toString(),
      ratePerHour: channel.terms.ratePerHour.toString(),
    },
    ...(lease.kind === 'closing' && { closeAt: lease.closeAt, reason: lease.reason }),
    ...(lease.kind === 'ended' && {
      endedAt: lease.endedAt,
      paid: lease.paid.toString(),
      refund: lease.refund.toString(),
      reason: lease.reason,
    }),
  }
}

/** What of the publisher's money is not back yet, in words. */
export function moneyAtRisk(lease: Lease): string {
  const deposit = formatAmount(lease.channel.deposit, lease.pricing)
  switch (lease.kind) {
    case 'opening':
      return `${deposit} may be in its channel: the transaction was not seen to end`
    case 'funded':
    case 'running':
      return `${deposit} are in its channel`
    case 'closing':
      return `what is left of ${deposit} is due at ${lease.closeAt.toISOString()}`
    case 'ended':
      return 'nothing is left in its channel'
  }
}
