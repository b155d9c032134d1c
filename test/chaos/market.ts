/** A market whose three processes can each be killed at any moment and come back: anvil with its state on disk, tpodserver, trustedpods. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { loadImage } from '@trusted-pods/platform/engine/images.ts'
import { openEngine } from '@trusted-pods/platform/engine/open-engine.ts'
import { type DemoChain, startAnvilChild, startDemoChain } from '../../demo/chain.ts'
import { type Child, endLeftChildren } from '../../demo/children.ts'
import { cleanUp } from '../../demo/clean-up.ts'
import { writeProviderConfig, writePublisherConfig } from '../../demo/configs.ts'
import { HELLO_IMAGES, helloImage } from '../../demo/hello-image.ts'
import { demoPlaces, type Places, quietLog } from '../../demo/places.ts'
import { startProviderProcess } from '../../demo/provider-process.ts'
import { type FaultyRpc, startFaultyRpc } from '../support/faulty-rpc.ts'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
/** A block a second: time goes by on the chain although nobody sends anything. */
const BLOCK_SECONDS = '1'

export interface Finished {
  /** Null: it was killed. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Market extends AsyncDisposable {
  readonly places: Places
  readonly demo: DemoChain
  /** Runs `trustedpods`; `kill` ends it as a crash does. */
  cli(...args: string[]): { done: Promise<Finished>; kill(): void }
  /** Killed, and started again on the same state. */
  crashProvider(): Promise<void>
  crashAnvil(): Promise<void>
  /** Provider and publisher see the chain through this; nobody else does. */
  readonly rpc: FaultyRpc
  /** A manifest of a pod that can live beside the one of examples/hello. */
  readonly twin: string
}

export async function startMarket(): Promise<Market> {
  const folder = await mkdtemp(join(tmpdir(), 'trusted-pods-chaos-'))
  const places = demoPlaces(ROOT, folder)
  await mkdir(places.logs, { recursive: true })
  await mkdir(places.engine, { recursive: true })
  const port = await freePort()
  const stateFile = join(folder, 'anvil.json')
  const state = ['--state', stateFile, '--state-interval', '1', '--block-time', BLOCK_SECONDS]
  const chainOptions = { port, args: state }
  const demo = await startDemoChain(places, chainOptions)
  const engine = await openEngine({ stateDir: places.engine, log: quietLog })
  const busybox = await findProgram('busybox')
  if (!busybox) throw new Error('busybox is missing: install the Debian package busybox-static')
  for (const name of HELLO_IMAGES) await loadImage(engine, await helloImage(name, { busybox }))
  const rpc = await startFaultyRpc(demo.rpc)
  const seen = { ...demo, rpc: rpc.rpc }
  await writeProviderConfig(places, seen, { engineSocket: engine.socket })
  const first = await startProviderProcess(places)
  await writePublisherConfig(places, seen, { engineSocket: engine.socket, simulatedRoot: first.ready.simulatedRoot })
  let provider: Child = first.child
  let anvil: number | undefined
  const env = {
    ...process.env,
    TRUSTEDPODS_CONFIG: places.publisherConfig,
    XDG_STATE_HOME: join(folder, 'publisher', 'state'),
  }
  return {
    places,
    demo,
    rpc,
    twin: await writeTwin(places),
    cli(...args) {
      const program = join(ROOT, 'packages/cli/src/main.ts')
      const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
        cwd: ROOT,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const done = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]).then(
        ([stdout, stderr, [code]]) => ({ code: code as number | null, stdout, stderr }),
      )
      return { done, kill: () => void child.kill('SIGKILL') }
    },
    async crashProvider() {
      process.kill(provider.pid, 'SIGKILL')
      await provider[Symbol.asyncDispose]()
      provider = (await startProviderProcess(places)).child
    },
    async crashAnvil() {
      const whole = await readWhole(stateFile)
      process.kill(anvil ?? (await pidOf(places, '2-anvil')), 'SIGKILL')
      await untilFree(port)
      // Killed while it wrote, anvil leaves half a file: the chain then comes back as it was a moment before.
      if (!isWhole(await readFile(stateFile, 'utf8'))) await writeFile(stateFile, whole)
      anvil = (await startAnvilChild(places, chainOptions)).anvil.pid
    },
    async [Symbol.asyncDispose]() {
      await endLeftChildren(folder)
      const left = await cleanUp(places, { step() {}, say() {}, waiting: (_, work) => work })
      await engine[Symbol.asyncDispose]()
      await rpc[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
      if (left.length > 0) throw new Error(`left over: ${left.join(', ')}`)
    },
  }
}

/** Its host alone is another: no two pods have one. */
async function writeTwin({ root, folder }: Places): Promise<string> {
  const [from, to] = [join(root, 'examples/hello'), join(folder, 'twin')]
  await mkdir(to, { recursive: true })
  await copyFile(join(from, 'secret.txt'), join(to, 'secret.txt'))
  const manifest = join(to, 'trustedpods.yml')
  const text = await readFile(join(from, 'trustedpods.yml'), 'utf8')
  await writeFile(manifest, text.replace('host: hello.localhost', 'host: twin.localhost'))
  return manifest
}

/** anvil writes its state in place: read until it is all there. */
async function readWhole(path: string): Promise<string> {
  for (;;) {
    const text = await readFile(path, 'utf8').catch(() => '')
    if (isWhole(text)) return text
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function isWhole(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

async function pidOf({ folder }: Places, name: string): Promise<number> {
  return JSON.parse(await readFile(join(folder, 'pids', name), 'utf8')).pid
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** A process that was killed may hold its port for a moment. */
async function untilFree(port: number): Promise<void> {
  for (;;) {
    const server = createServer()
    const [name] = await Promise.race([
      once(server.listen(port, '127.0.0.1'), 'listening').then(() => ['listening']),
      new Promise<string[]>((resolve) => server.once('error', () => resolve(['error']))),
    ])
    if (name === 'listening') {
      server.close()
      await once(server, 'close')
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
