/** `trustedpods ls`: the leases that this machine knows. Asks nobody. */
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import type { Command } from 'commander'
import { openLeases } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { leaseJson, shortId } from '../lease-view.ts'
import { formatTable } from '../table.ts'
import type { Run } from './command.ts'

interface LsFlags {
  all?: boolean
}

export function addLs(program: Command, run: Run): void {
  program
    .command('ls')
    .description('list your leases')
    .option('-a, --all', 'those that have ended too')
    .action((flags: LsFlags, command: Command) => run(command, (context) => ls(context, flags)))
}

async function ls(context: Context, { all = false }: LsFlags): Promise<ExitCode> {
  const { output } = context
  const { leases, problems } = await openLeases(context).list()
  const shown = leases.filter(({ kind }) => all || kind !== 'ended')
  const rows = shown.map((lease) => [
    shortId(lease.id),
    lease.name,
    lease.kind,
    formatAmount(lease.channel.deposit, lease.pricing),
    lease.createdAt.toISOString(),
    lease.provider.peerId,
  ])
  const text =
    rows.length > 0 ? formatTable(['LEASE', 'NAME', 'PHASE', 'DEPOSIT', 'CREATED', 'PROVIDER'], rows) : 'no leases'
  output.result(text, shown.map(leaseJson))
  for (const problem of problems) output.progress(`warning: ${problem}`)
  return EXIT.OK
}
