/** `trustedpods withdraw`: gets back all that is the wallet's, with nothing but its key and the chain. */
import { type TokenMetadata, tokenMetadata } from '@trusted-pods/protocol/chain/token.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { requireToken } from '@trusted-pods/publisher/payment.ts'
import { type OwnChannel, type Withdrawn, withdrawAll } from '@trusted-pods/publisher/withdraw.ts'
import { type Command, InvalidArgumentError } from 'commander'
import type { Address } from 'viem'
import { loadConfig } from '../config.ts'
import { askYesNo } from '../confirm.ts'
import { openLeases, openPayingChain } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { LeaseFiles } from '../lease-store.ts'
import type { Run } from './command.ts'

interface WithdrawFlags {
  closeLost?: boolean
  fromBlock?: bigint
  yes?: boolean
}

export function addWithdraw(program: Command, run: Run): void {
  program
    .command('withdraw')
    .description(
      'finish what is due and bring all that is yours in the escrow into the wallet; needs no lease and no provider',
    )
    .option('--close-lost', 'also ask to close channels of this wallet that no lease here knows')
    .option('--from-block <n>', 'where the escrow’s events begin', toBlock)
    .option('-y, --yes', 'do not ask before closing')
    .action((flags: WithdrawFlags, command: Command) => run(command, (context) => withdraw(context, flags)))
}

async function withdraw(
  context: Context,
  { closeLost = false, fromBlock, yes = false }: WithdrawFlags,
): Promise<ExitCode> {
  const { output, signal } = context
  if (closeLost && !yes && !(await askYesNo(context, 'Close every channel of this wallet that has no lease here?')))
    return EXIT.INTERRUPTED
  const config = await loadConfig(context.configPath)
  const chain = await openPayingChain(config, context)
  // A lease that has ended but whose channel is open again, after a reorganisation, needs closing as much as one that is lost.
  const known = new Set(await liveIds(openLeases(context)))
  const withdrawn = await withdrawAll(chain, {
    tokens: [requireToken(chain)],
    shouldClose: ({ terms }) => closeLost && !known.has(terms.podId.slice(2)),
    report: (text) => output.step('channel', text),
    ...(fromBlock !== undefined && { fromBlock }),
    signal,
  })
  const tokens = new Map<Address, TokenMetadata>()
  for (const token of tokensOf(withdrawn)) tokens.set(token, await tokenMetadata(chain, token))
  output.result(format(withdrawn, { tokens, known }), toJson(withdrawn, known))
  for (const { closeAt } of withdrawn.waiting.slice(0, 1))
    output.next(`trustedpods withdraw   # from ${closeAt.toISOString()} on`)
  return EXIT.OK
}

async function liveIds(leases: LeaseFiles): Promise<string[]> {
  const ended = (await leases.list()).leases.filter(({ kind }) => kind === 'ended').map(({ id }) => id)
  return (await leases.ids()).filter((id) => !ended.includes(id))
}

function tokensOf({ withdrawn, waiting, open }: Withdrawn): Set<Address> {
  const channels = [...open, ...waiting.map(({ channel }) => channel)]
  return new Set([...withdrawn.map(({ token }) => token), ...channels.map(({ terms }) => terms.token)])
}

function format(
  { withdrawn, waiting, open }: Withdrawn,
  { tokens, known }: { tokens: ReadonlyMap<Address, TokenMetadata>; known: ReadonlySet<string> },
): string {
  const money = (units: bigint, token: Address) => {
    const metadata = tokens.get(token)
    return metadata ? formatAmount(units, metadata) : `${units} base units of ${token}`
  }
  const held = ({ state, terms }: OwnChannel) => money(state.deposited - state.claimed, terms.token)
  const lines = [
    ...withdrawn.map(({ token, amount }) => `${money(amount, token)} are in the wallet`),
    ...waiting.map(({ channel, closeAt }) => `${held(channel)} at most are due at ${closeAt.toISOString()}`),
    ...open.map((channel) => `${held(channel)} at most stay in ${describe(channel, known)}`),
  ]
  return lines.length > 0 ? lines.join('\n') : 'nothing of this wallet is in the escrow'
}

function describe({ id, terms }: OwnChannel, known: ReadonlySet<string>): string {
  const lease = terms.podId.slice(2)
  if (known.has(lease)) return `the channel of lease ${lease.slice(0, 12)}: end it with trustedpods stop`
  return `channel ${id.slice(0, 14)}, which no lease here knows: close it with --close-lost`
}

function toJson({ withdrawn, finalised, waiting, open }: Withdrawn, known: ReadonlySet<string>) {
  const channelJson = ({ id, terms, state }: OwnChannel) => ({
    channel: id,
    lease: known.has(terms.podId.slice(2)) ? terms.podId.slice(2) : null,
    token: terms.token,
    held: (state.deposited - state.claimed).toString(),
  })
  return {
    withdrawn: withdrawn.map(({ token, amount, transaction }) => ({ token, amount: amount.toString(), transaction })),
    finalised: finalised.map(channelJson),
    waiting: waiting.map(({ channel, closeAt }) => ({ ...channelJson(channel), closeAt })),
    open: open.map(channelJson),
  }
}

function toBlock(text: string): bigint {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError('a block number is wanted')
  return BigInt(text)
}
