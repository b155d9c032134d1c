/** `trustedpods logs`: what the containers wrote. */
import { type LogLine, type LogsOptions, readLogs } from '@trusted-pods/publisher/logs.ts'
import { type Command, InvalidArgumentError } from 'commander'
import { findLease, LEASE_ARGUMENT, openLeases, openNode } from '../connections.ts'
import type { Context } from '../context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { forTerminal, toJsonLine } from '../output.ts'
import { tellWaiting } from '../patience.ts'
import { relocation } from '../registry.ts'
import type { Run } from './command.ts'

interface LogsFlags {
  container?: string
  follow?: boolean
  tail?: number
  timestamps?: boolean
}

export function addLogs(program: Command, run: Run): void {
  program
    .command('logs')
    .argument('[lease]', LEASE_ARGUMENT)
    .description('show what the containers of a pod wrote')
    .option('-c, --container <name>', 'only this container')
    .option('-f, --follow', 'go on as lines are written')
    .option('-n, --tail <lines>', 'begin with this many of the last lines of each container', parseTail)
    .option('-t, --timestamps', 'put the time before each line')
    .action((lease: string | undefined, flags: LogsFlags, command: Command) =>
      run(command, (context) => logs(context, lease, flags)),
    )
}

async function logs(context: Context, reference: string | undefined, flags: LogsFlags): Promise<ExitCode> {
  const { output, signal } = context
  const lease = await findLease(openLeases(context), reference)
  const { container, follow = false, tail } = flags
  const options: LogsOptions = {
    follow,
    signal,
    ...relocation(context),
    ...(container !== undefined && { container }),
    ...(tail !== undefined && { tail }),
  }
  await using own = await openNode(context)
  using waiting = tellWaiting(output, 'the provider to send lines')
  for await (const line of readLogs(own.node, lease, options)) {
    waiting[Symbol.dispose]()
    output.raw(output.format === 'json' ? `${toJsonLine(lineJson(line))}\n` : `${formatLine(line, context, flags)}\n`)
  }
  return EXIT.OK
}

function formatLine({ container, timeNs, text }: LogLine, { output }: Context, flags: LogsFlags): string {
  const decoded = new TextDecoder().decode(text)
  const shown = output.toTerminal ? forTerminal(decoded) : decoded
  const prefix = flags.container === undefined ? `${output.colours.cyan(`[${container}]`)} ` : ''
  return `${prefix}${flags.timestamps ? `${timeOf(timeNs).toISOString()} ` : ''}${shown}`
}

function lineJson({ container, stream, timeNs, text }: LogLine) {
  return { time: timeOf(timeNs), container, stream, text: new TextDecoder().decode(text) }
}

/** The provider's word: beyond what a Date holds it reads as the end of time. */
function timeOf(timeNs: bigint): Date {
  const ms = timeNs / 1_000_000n
  return new Date(ms < 8_640_000_000_000_000n ? Number(ms) : 8_640_000_000_000_000)
}

function parseTail(text: string): number {
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a whole number of lines, 1 to 9999999, is wanted')
}
