/** The command line: global options, the commands, and from what they throw to an exit code. */
import { Command, CommanderError, Option } from 'commander'
import { addAsked, type CommandLoaders, type Run } from './commands/command.ts'
import type { Context, Surroundings } from './context.ts'
import { EXIT, type ExitCode, exitCodeOf } from './exit-codes.ts'
import { printFailure } from './failure.ts'
import { createOutput, FORMATS, type Format } from './output.ts'
import { configPath, stateFolder } from './paths.ts'

const loaders: CommandLoaders = {
  init: async () => (await import('./commands/init.ts')).addInit,
  validate: async () => (await import('./commands/validate.ts')).addValidate,
  providers: async () => (await import('./commands/providers.ts')).addProviders,
  attest: async () => (await import('./commands/attest.ts')).addAttest,
  verify: async () => (await import('./commands/verify.ts')).addVerify,
  plan: async () => (await import('./commands/deploy.ts')).addPlan,
  deploy: async () => (await import('./commands/deploy.ts')).addDeploy,
  status: async () => (await import('./commands/status.ts')).addStatus,
  logs: async () => (await import('./commands/logs.ts')).addLogs,
  fund: async () => (await import('./commands/fund.ts')).addFund,
  receipts: async () => (await import('./commands/receipts.ts')).addReceipts,
  stop: async () => (await import('./commands/stop.ts')).addStop,
  withdraw: async () => (await import('./commands/withdraw.ts')).addWithdraw,
  ls: async () => (await import('./commands/ls.ts')).addLs,
  image: async () => (await import('./commands/image.ts')).addImage,
}

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
    const program = buildProgram(around)
    await addAsked(program, run, { loaders, args })
    await program.parseAsync(args, { from: 'user' })
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

function buildProgram({ stdout, stderr }: Surroundings): Command {
  return new Command('trustedpods')
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
}
