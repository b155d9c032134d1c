/** `trustedpods status`: where a pod stands, once or with each change. */

import { channelPayer } from '@trusted-pods/publisher/payment.ts'
import { isFinal } from '@trusted-pods/publisher/pod-status.ts'
import { watchStatus } from '@trusted-pods/publisher/status.ts'
import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { findLease, LEASE_ARGUMENT, openLeases, openNode, openPayingChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { formatStatus, statusJson } from '../format-status.ts'
import { leaseJson, moneyAtRisk, shortId } from '../lease-view.ts'
import { tellWaiting } from '../patience.ts'
import type { Run } from './command.ts'

interface StatusFlags {
  follow?: boolean
  vouchers?: boolean
}

export function addStatus(program: Command, run: Run): void {
  program
    .command('status')
    .argument('[lease]', LEASE_ARGUMENT)
    .description('show where a pod stands; exits with 8 when it has failed')
    .option('-f, --follow', 'go on with each change; with -o json one object a line')
    .option('--vouchers', 'sign the vouchers that the provider asks for, as far as verified receipts go')
    .action((lease: string | undefined, flags: StatusFlags, command: Command) =>
      run(command, (context) => status(context, lease, flags)),
    )
}

async function status(
  context: Context,
  reference: string | undefined,
  { follow = false, vouchers = false }: StatusFlags,
): Promise<ExitCode> {
  const { output, signal } = context
  const leases = openLeases(context)
  const lease = await findLease(leases, reference)
  if (lease.kind === 'ended' || lease.kind === 'closing') {
    output.result(
      `${lease.name} ${shortId(lease.id)}  ${lease.kind}: ${lease.reason}; ${moneyAtRisk(lease)}`,
      leaseJson(lease),
    )
    return EXIT.OK
  }
  await using own = await openNode(context)
  const signer = vouchers
    ? channelPayer(await openPayingChain(await loadConfig(context.configPath), context))
    : undefined
  const watch = { follow, receipts: leases.receipts, signal, ...(signer && { voucherSigner: signer }) }
  using waiting = tellWaiting(output, 'the provider to answer')
  for await (const seen of watchStatus(own.node, lease, watch)) {
    waiting[Symbol.dispose]()
    output.result(formatStatus(lease, seen, output.colours), statusJson(lease, seen))
    if (seen.funds.isLow && (seen.phase === 'running' || seen.phase === 'suspended'))
      output.next(`trustedpods fund ${shortId(lease.id)} <amount>`)
    if (!isFinal(seen.phase)) continue
    output.next(`trustedpods stop ${shortId(lease.id)}`)
    if (seen.phase === 'failed') return EXIT.WORKLOAD_FAILED
  }
  return EXIT.OK
}
