/** tpodserver: the provider's program. Logs are JSON lines on stderr; what a person needs to know once is on stdout. */
import { jsonLog } from '@trusted-pods/platform/json-log.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { Command } from 'commander'
import { loadProviderConfig } from './config.ts'
import { exportRecord, register, unregister } from './register.ts'
import { startProvider } from './start.ts'

const program = new Command('tpodserver')
  .description('Rents out this machine to publishers of trusted pods.')
  .version('0.0.1')

program
  .command('run')
  .description('serve until SIGINT or SIGTERM; running pods go on and are taken up at the next start')
  .option('-c, --config <file>', 'configuration file', 'tpodserver.yaml')
  .option('--log-level <level>', 'debug, info, warn or error', 'info')
  .action(run)

program
  .command('register')
  .description("announce this provider in the chain's registry, with prices and capacity as they are configured now")
  .option('-c, --config <file>', 'configuration file', 'tpodserver.yaml')
  .action(async ({ config }: { config: string }) => {
    process.stdout.write(`${await register(await loadProviderConfig(config))}\n`)
  })

program
  .command('unregister')
  .description("leave the chain's registry; once more after the delay: take the row off and the bond back")
  .option('-c, --config <file>', 'configuration file', 'tpodserver.yaml')
  .action(async ({ config }: { config: string }) => {
    process.stdout.write(`${await unregister(await loadProviderConfig(config))}\n`)
  })

program
  .command('record')
  .description(
    "write this provider's signed record, good for 30 days, for a list of one's own (registryFile, registryUrl)",
  )
  .option('-c, --config <file>', 'configuration file', 'tpodserver.yaml')
  .action(async ({ config }: { config: string }) => {
    process.stdout.write(await exportRecord(await loadProviderConfig(config)))
  })

async function run({ config: path, logLevel }: { config: string; logLevel: string }): Promise<void> {
  const level = (['debug', 'info', 'warn', 'error'] as const).find((name) => name === logLevel)
  if (!level)
    throw new TrustedPodsError('PLATFORM_CONFIG', `the log level is ${logLevel}; debug, info, warn or error is wanted`)
  const log = jsonLog(process.stderr, { level })
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(name))
  const { signal } = stop
  const provider = await startProvider(await loadProviderConfig(path), { log, signal })
  const { node, frontAddress, attester } = provider
  const ready = {
    peerId: node.peerId.toString(),
    multiaddrs: node.getMultiaddrs().map(String),
    http: frontAddress,
    evidence: attester.evidenceType,
    simulated: attester.simulated,
    ...(attester.rootFingerprint && { simulatedRoot: attester.rootFingerprint }),
  }
  process.stdout.write(`${JSON.stringify(ready)}\n`)
  if (attester.simulated) log.warn('SIMULATED - NOT CONFIDENTIAL: this provider makes up its evidence')
  await untilAborted(signal)
  log.info('stopping', { signal: String(signal.reason) })
  await provider[Symbol.asyncDispose]()
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve())
  if (!signal.aborted) await promise
}

try {
  await program.parseAsync()
} catch (error) {
  const known = error instanceof TrustedPodsError
  process.stderr.write(
    known
      ? `tpodserver: ${error.code}: ${error.message}\n`
      : `tpodserver: ${error instanceof Error ? error.stack : error}\n`,
  )
  process.exitCode = known ? 2 : 1
}
