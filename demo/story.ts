/** The demo's story, in the order in which it is told. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { get } from 'node:http'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { loadImage } from '@trusted-pods/platform/engine/images.ts'
import { openEngine } from '@trusted-pods/platform/engine/open-engine.ts'
import { podEscrowAbi } from '@trusted-pods/protocol/chain/gen/pod-escrow.ts'
import { tokenBalance } from '@trusted-pods/protocol/chain/token.ts'
import { formatAmount } from '@trusted-pods/protocol/pricing/notation.ts'
import { type DemoChain, startDemoChain } from './chain.ts'
import { writeProviderConfig, writePublisherConfig } from './configs.ts'
import { HELLO_IMAGES, helloImage } from './hello-image.ts'
import { type Places, quietLog } from './places.ts'
import { type Ready, startProviderProcess } from './provider-process.ts'
import type { Stage } from './stage.ts'

export interface StoryOptions {
  readonly places: Places
  readonly stage: Stage
  readonly keep: boolean
  readonly signal: AbortSignal
}

interface RunningProvider extends Ready {
  readonly pid: number
}

const MANIFEST = 'examples/hello/trustedpods.yml'
const HOST = 'hello.localhost'
const TOKEN = { decimals: 6, symbol: 'tUSDC' }

export async function runStory(options: StoryOptions): Promise<void> {
  const { places, stage, keep, signal } = options
  await mkdir(places.logs, { recursive: true })
  const demo = await raiseChain(options)
  const engineSocket = await raiseEngine(options)
  const ready = await raiseProvider(options, demo, engineSocket)
  await writePublisherConfig(places, demo, { engineSocket, simulatedRoot: ready.simulatedRoot })
  const before = await balances(demo)

  stage.step('Deploy a pod of two containers')
  await trustedpods(['deploy', MANIFEST, '--yes'], options)

  stage.step('Use it: a page through the provider’s HTTP front, by host name')
  stage.say(`$ curl -H 'Host: ${HOST}' http://${ready.http}/`)
  stage.say(await stage.waiting('the page', fetchPage(ready.http, signal)))
  stage.step('Ask how it is')
  await trustedpods(['status'], options)
  await trustedpods(['logs', '--tail', '3'], options)

  stage.step('Wait until the provider has metered and claimed on the chain')
  const claim = await stage.waiting('a claim on the chain', firstClaim(demo, signal))
  stage.say(`claimed ${formatAmount(claim.cumulative, TOKEN)} in transaction ${claim.transaction}`)
  await trustedpods(['status'], options)
  if (keep) return sayWhatToTry(options, ready)

  stage.step('Stop it and settle')
  await trustedpods(['stop', '--yes'], options)
  await tellBalances(demo, before, stage)
}

async function raiseChain({ places, stage, signal }: StoryOptions): Promise<DemoChain> {
  signal.throwIfAborted()
  stage.step('Start a chain (anvil) with the escrow, the registry and a test token')
  const demo = await stage.waiting('anvil and the contracts', startDemoChain(places))
  stage.say(
    `escrow   ${demo.chain.escrow}\nregistry ${demo.chain.registry}\ntoken    ${demo.token} (tUSDC, 6 decimals)`,
  )
  return demo
}

async function raiseEngine({ places, stage, signal }: StoryOptions): Promise<string> {
  signal.throwIfAborted()
  stage.step('Find a container engine')
  await mkdir(places.engine, { recursive: true })
  const engine = await stage.waiting('the engine', openEngine({ stateDir: places.engine, log: quietLog, signal }))
  stage.say(
    `${engine.name} ${engine.version} at ${relative(places.root, engine.socket)}${engine.embedded ? ' (our own, for this demo)' : ' (yours; only objects of the demo are touched)'}`,
  )
  const busybox = await findProgram('busybox')
  if (!busybox) throw new Error('busybox is missing: install the Debian package busybox-static')
  for (const name of HELLO_IMAGES) await loadImage(engine, await helloImage(name, { busybox }))
  stage.say(`the publisher’s images: ${HELLO_IMAGES.join(', ')}`)
  return engine.socket
}

async function raiseProvider(
  { places, stage, signal }: StoryOptions,
  demo: DemoChain,
  engineSocket: string,
): Promise<RunningProvider> {
  signal.throwIfAborted()
  stage.step('Start a provider (tpodserver) with a simulated TEE')
  await writeProviderConfig(places, demo, { engineSocket })
  stage.say('$ tpodserver run')
  const { child, ready } = await stage.waiting(
    'its keys, its development root and its registry record',
    startProviderProcess(places),
  )
  stage.say(`peer ${ready.peerId}, HTTP front at ${ready.http}, announced in the registry`)
  return { ...ready, pid: child.pid }
}

/** The publisher's program as a process of its own, in this terminal. */
async function trustedpods(args: string[], { places, signal }: StoryOptions): Promise<void> {
  signal.throwIfAborted()
  process.stdout.write(`   $ trustedpods ${args.join(' ')}\n`)
  const child = spawn(process.execPath, [...process.execArgv, join(places.root, 'packages/cli/src/main.ts'), ...args], {
    cwd: places.root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...publisherEnvironment(places) },
  })
  const onAbort = () => child.kill('SIGINT')
  signal.addEventListener('abort', onAbort)
  const [code] = await once(child, 'exit')
  signal.removeEventListener('abort', onAbort)
  signal.throwIfAborted()
  if (code !== 0)
    throw new Error(
      `trustedpods ${args[0]} ended with code ${code}; the provider’s log is ${join(places.logs, 'tpodserver.log')}`,
    )
}

function publisherEnvironment({ publisherConfig, folder }: Places) {
  return { TRUSTEDPODS_CONFIG: publisherConfig, XDG_STATE_HOME: join(folder, 'publisher', 'state') }
}

/** By connecting to the front and naming the host: no name service is asked. */
function fetchPage(front: string, signal: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const request = get(`http://${front}/`, { headers: { host: HOST }, signal }, (response) => {
    let body = ''
    response.setEncoding('utf8').on('data', (part: string) => {
      body += part
    })
    response.on('end', () =>
      response.statusCode === 200
        ? resolve(body.trim())
        : reject(new Error(`the front answered ${response.statusCode}: ${body.trim()}`)),
    )
  })
  request.on('error', reject)
  return promise
}

async function firstClaim(
  { chain }: DemoChain,
  signal: AbortSignal,
): Promise<{ cumulative: bigint; transaction: string }> {
  for (;;) {
    const [log] = await chain.public.getContractEvents({
      address: chain.escrow,
      abi: podEscrowAbi,
      eventName: 'Claimed',
      fromBlock: 0n,
      strict: true,
    })
    if (log) return { cumulative: log.args.cumulative, transaction: log.transactionHash }
    await waitFor(500, signal)
  }
}

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal })
}

interface Balances {
  readonly publisher: bigint
  readonly provider: bigint
  readonly escrow: bigint
}

async function balances({ chain, token, publisher, provider }: DemoChain): Promise<Balances> {
  const of = (account: `0x${string}`) => tokenBalance(chain, { token, account })
  return {
    publisher: await of(publisher.address),
    provider: await of(provider.address),
    escrow: await of(chain.escrow),
  }
}

async function tellBalances(demo: DemoChain, before: Balances, stage: Stage): Promise<void> {
  const after = await balances(demo)
  const row = (who: keyof Balances) => {
    const change = after[who] - before[who]
    return `${who.padEnd(9)} ${show(before[who])} → ${show(after[who])}  (${change >= 0n ? '+' : ''}${change} base units)`
  }
  stage.say(`balances before and after:\n${(['publisher', 'provider', 'escrow'] as const).map(row).join('\n')}`)
  const sum = (all: Balances) => all.publisher + all.provider + all.escrow
  if (after.escrow !== 0n || sum(after) !== sum(before) || after.provider <= before.provider) {
    throw new Error('the balances do not add up, or something is left in the escrow')
  }
  stage.say('✔ they add up to the last unit, and nothing is left in the escrow')
}

function show(amount: bigint): string {
  return formatAmount(amount, TOKEN).padStart(18)
}

function sayWhatToTry({ places, stage }: StoryOptions, { http, pid }: RunningProvider): void {
  const { TRUSTEDPODS_CONFIG, XDG_STATE_HOME } = publisherEnvironment(places)
  stage.step('Left running: try')
  stage.say(
    [
      `export TRUSTEDPODS_CONFIG=${TRUSTEDPODS_CONFIG} XDG_STATE_HOME=${XDG_STATE_HOME}`,
      `curl -H 'Host: ${HOST}' http://${http}/`,
      'npx trustedpods status --follow',
      'npx trustedpods logs --follow',
      'npx trustedpods providers',
      'npx trustedpods stop',
      `kill -9 ${pid}; npx tpodserver run --config ${relative(places.root, places.providerConfig)}   # its pods run on`,
      `the provider’s log: ${join(places.logs, 'tpodserver.log')}`,
      'npm run demo cleans all of it up, and starts anew',
    ].join('\n'),
  )
}
