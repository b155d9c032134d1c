/** `trustedpods fund`: puts more into the channel of a running pod. */
import { tokenMetadata } from '@trusted-pods/protocol/chain/token.ts'
import { formatAmount, parseAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { fundLease } from '@trusted-pods/publisher/fund.ts'
import type { FundingChoice } from '@trusted-pods/publisher/funding.ts'
import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { askYesNo } from '../confirm.ts'
import { findLease, openLeases, openNode, openPayingChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { leaseJson, shortId } from '../lease-view.ts'
import { relocation } from '../registry.ts'
import { formatDuration } from '../units.ts'
import type { Run } from './command.ts'
import { fundingOption } from './funding-option.ts'

interface FundFlags {
  yes?: boolean
  funding?: FundingChoice
}

export function addFund(program: Command, run: Run): void {
  program
    .command('fund')
    .argument('<lease>', 'id, beginning of the id, or name of a lease')
    .argument('<amount>', 'what to add, in the token: 2.50')
    .description('add to the deposit of a pod; what it does not use comes back')
    .option('-y, --yes', 'do not ask')
    .addOption(fundingOption())
    .action((lease: string, amount: string, flags: FundFlags, command: Command) =>
      run(command, (context) => fund(context, { reference: lease, text: amount }, flags)),
    )
}

async function fund(
  context: Context,
  { reference, text }: { reference: string; text: string },
  { yes = false, funding }: FundFlags,
): Promise<ExitCode> {
  const { output, signal } = context
  const leases = openLeases(context)
  const lease = await findLease(leases, reference)
  const chain = await openPayingChain(await loadConfig(context.configPath), context)
  const { terms } = lease.channel
  const amount = parseAmount(text, await tokenMetadata(chain, terms.token))
  const money = (units: bigint) => formatAmount(units, lease.pricing)
  const lasts =
    terms.ratePerHour > 0n ? ` (${formatDuration(Number((amount * 3600n) / terms.ratePerHour))} at its rate)` : ''
  const question = `Add ${money(amount)}${lasts} of token ${terms.token} to ${lease.name} ${shortId(lease.id)}?`
  if (!yes && !(await askYesNo(context, question))) return EXIT.INTERRUPTED
  await using own = await openNode(context)
  const way = { node: own.node, ...relocation(context), ...(funding && { funding }) }
  const funded = await fundLease(chain, lease, { amount, leases, ...way, signal })
  const by = funded.isRelayed ? ', sent by the provider at its cost' : ''
  const what = funded.isEarlier
    ? `an earlier run had sent this already, so nothing was sent now: ${funded.transaction ?? 'it has come in'}`
    : `added ${money(amount)}${by}`
  output.result(`${what}; the deposit is ${money(funded.lease.channel.deposit)}`, {
    ...leaseJson(funded.lease),
    ...(funded.transaction && { transaction: funded.transaction }),
    relayed: funded.isRelayed,
    added: funded.isEarlier ? '0' : amount.toString(),
  })
  return EXIT.OK
}
