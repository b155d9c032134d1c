/** Kubo as a process of its own: `ipfs` in the PATH, or where KUBO says. Loopback only, no bootstrap peers. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'

const kubo = process.env.KUBO ?? 'ipfs'

/** false: it is here; else why tests against it are skipped, said aloud. */
export const noKubo = hasKubo() ? false : 'SKIPPED: no Kubo here (KUBO=/path/to/ipfs): nothing was proven against it'
if (noKubo) console.warn(noKubo)

function hasKubo(): boolean {
  try {
    execFileSync(kubo, ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export interface KuboDaemon {
  /** http://127.0.0.1:<port> */
  readonly url: string
  /** Runs `ipfs …` against the daemon. @returns its stdout. */
  ipfs(...args: string[]): Promise<string>
  /** The same, where stdout is no text. */
  ipfsBytes(...args: string[]): Promise<Uint8Array>
}

export interface KuboOptions {
  /** Further settings, by their path: `API.Authorizations` and the like. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Shown with each call of `ipfs`. */
  readonly auth?: string
  /** Listens on loopback for other nodes. */
  readonly isOnline?: boolean
}

export async function startKubo(
  t: TestContext,
  { config = {}, auth, isOnline = false }: KuboOptions = {},
): Promise<KuboDaemon> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-kubo-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const env = { ...process.env, IPFS_PATH: join(folder, 'repo') }
  const ipfs = async (...args: string[]) => {
    const all = [...(auth === undefined ? [] : ['--api-auth', auth]), ...args]
    return (await promisify(execFile)(kubo, all, { env, maxBuffer: 2 ** 27 })).stdout
  }
  // The profile has ports of the system's choice, no bootstrap peers and no discovery.
  await ipfs('init', '--profile', 'test')
  for (const [name, value] of Object.entries(config)) await ipfs('config', '--json', name, JSON.stringify(value))
  const daemon = spawn(kubo, ['daemon', ...(isOnline ? [] : ['--offline'])], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => stop(daemon))
  await readyOf(daemon)
  const [, host, port] =
    /^\/ip4\/([\d.]+)\/tcp\/(\d+)/.exec(await readFile(join(folder, 'repo/api'), 'utf8')) ?? assert.fail()
  const ipfsBytes = async (...args: string[]) =>
    (await promisify(execFile)(kubo, args, { env, maxBuffer: 2 ** 27, encoding: 'buffer' })).stdout
  return { url: `http://${host}:${port}`, ipfs, ipfsBytes }
}

async function readyOf(daemon: ChildProcess): Promise<void> {
  let said = ''
  for await (const chunk of daemon.stdout ?? []) {
    said += chunk
    if (said.includes('Daemon is ready')) break
  }
  assert.match(said, /Daemon is ready/)
}

async function stop(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null) return
  const ended = once(daemon, 'exit')
  daemon.kill('SIGTERM')
  await ended
}
