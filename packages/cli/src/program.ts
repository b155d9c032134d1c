/** The command line: global options, the commands, and from what they throw to an exit code. */
import { Command, CommanderError, Option } from 'commander'
import { addAttest } from './commands/attest.ts'
import type { Run } from './commands/command.ts'
import { addDeploy, addPlan } from './commands/deploy.ts'
import { addFund } from './commands/fund.ts'
import { addImage } from './commands/image.ts'
import { addInit } from './commands/init.ts'
import { addLogs } from './commands/logs.ts'
import { addLs } from './commands/ls.ts'
import { addProviders } from './commands/providers.ts'
import { addReceipts } from './commands/receipts.ts'
import { addStatus } from './commands/status.ts'
import { addStop } from './commands/stop.ts'
import { addValidate } from './commands/validate.ts'
import { addVerify } from './commands/verify.ts'
import { addWithdraw } from './commands/withdraw.ts'
import type { Context, Surroundings } from './context.ts'
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts'
import { printFailure } from './failure.ts'
import { createOutput, FORMATS, type Format } from './output.ts'
import { configPath, stateFolder } from './paths.ts'

interface GlobalFlags {
  config?: string
  output: Format
  quiet?: boolean
  debug?: boolean
}

/** Runs one command line, without the program's own name. Never throws. */
export async function runProgram(args: readonly string[], around: Surroundings): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.OK
  const run: Run = async (command, action) => {
    exitCode = await runAction(contextOf(command.optsWithGlobals<GlobalFlags>(), around), action)
  }
  try {
    await buildProgram(around, run).parseAsync(args, { from: 'user' })
  } catch (error) {
    // Commander has written its own message; anything else came before there was a context.
    if (!(error instanceof CommanderError)) around.stderr.write(`error: ${String(error)}\n`)
    return exitCodeOf(error, { interrupted: false })
  }
  return exitCode
}

async function runAction(context: Context, action: (context: Context) => Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await withGrace(action(context), context.signal)
  } catch (error) {
    const interrupted = context.signal.aborted
    printFailure(context.output, error, { debug: context.debug, interrupted })
    return exitCodeOf(error, { interrupted })
  }
}

/** 3 s to tidy up after an interruption: what then still waits, for an answer that may never come, is left. */
const GRACE_MS = 3_000

async function withGrace<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const onAbort = () => {
    timer = setTimeout(() => reject(signal.reason), GRACE_MS)
  }
  signal.addEventListener('abort', onAbort)
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
    clearTimeout(timer)
  }
}

function contextOf({ config, output, quiet = false, debug = false }: GlobalFlags, around: Surroundings): Context {
  const { stdout, stderr, env, signal } = around
  return {
    output: createOutput(stdout, stderr, { format: output, quiet, env }),
    around,
    signal,
    configPath: configPath(env, config),
    stateFolder: stateFolder(env),
    debug,
  }
}

function buildProgram({ stdout, stderr }: Surroundings, run: Run): Command {
  const program = new Command('trustedpods')
    .description('Run container pods on a machine that you need not trust.')
    .version('0.0.1')
    .option('--config <file>', 'configuration file (default: $TRUSTEDPODS_CONFIG or ~/.config/trustedpods/config.yaml)')
    .addOption(new Option('-o, --output <format>', 'form of the result').choices(FORMATS).default('pretty'))
    .option('-q, --quiet', 'no progress and hints on stderr')
    .option('--debug', 'stack traces with errors')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
    })
    .showHelpAfterError('(trustedpods --help, or trustedpods <command> --help)')
    .showSuggestionAfterError()
  for (const add of [
    addInit,
    addValidate,
    addProviders,
    addAttest,
    addVerify,
    addPlan,
    addDeploy,
    addStatus,
    addLogs,
    addFund,
    addReceipts,
    addStop,
    addWithdraw,
    addLs,
    addImage,
  ])
    add(program, run)
  return program
}
