/**
 * A dockerd of our own: found again when an earlier run left one, started when not, ended with its containers. It outlives
 * this process when nobody ends it, so that pods survive a restart of the provider. I/O. Spec: docs/runtime.md#embedded.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { open, readFile, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { connectEngine, type Engine, failed } from './engine-client.ts'
import { type DaemonPaths, daemonCommand, daemonPaths, writeDaemonSettings } from './engine-daemon.ts'
import { findProgram, programPath } from './find-program.ts'
import { detachDisksBelow } from './loop-disk.ts'
import { listMountPoints, unmountBind } from './mount-table.ts'
import { listProcesses, type ProcessEntry, readProcess, signalProcess, withDescendants } from './process-table.ts'
import { holdLock } from './start-lock.ts'

/** 60 s: a first start on a cold disk; 1 s is what a warm one takes. */
const READY_TIMEOUT_MS = 60_000

/** 10 s: an engine of an earlier run that is still coming up gets this long to answer. */
const ADOPT_TIMEOUT_MS = 10_000

/** 5 s: one try; a daemon that was stopped in its tracks accepts a connection and says nothing. */
const TRY_TIMEOUT_MS = 5_000

/** 25 s: dockerd gives its containers 5 s (shutdown-timeout), then ends them and containerd. */
const STOP_TIMEOUT_MS = 25_000

/** 50 ms between two looks at something that says nothing of itself. */
const POLL_MS = 50

/** 800 bytes of the daemon's log go into an error: its last words. The log itself grows as long as the daemon lives. */
const LOG_TAIL_BYTES = 800

export interface EmbeddedEngineOptions {
  /** Folder that holds nothing but this engine. */
  readonly stateDir: string
  readonly log: Logger
  readonly signal?: AbortSignal | undefined
  /** How long an engine of an earlier run gets to answer; 10 s. */
  readonly adoptTimeoutMs?: number
  /** How long it gets to end before it is killed; 25 s. */
  readonly stopTimeoutMs?: number
}

/** Adopts the engine of this folder when it answers, else starts it. Disposing ends it and every container in it.
 * @throws TrustedPodsError PLATFORM_ENGINE_MISSING without dockerd or root, PLATFORM_ENGINE_FAILED when it does not come up. */
export async function openEmbeddedEngine(options: EmbeddedEngineOptions): Promise<Engine & AsyncDisposable> {
  const paths = daemonPaths(resolve(options.stateDir))
  const dockerd = await findDaemon()
  await using _lock = await holdLock(paths.folder, options)
  const engine = (await adopt(paths, options)) ?? (await start(dockerd, paths, options))
  return { ...engine, [Symbol.asyncDispose]: () => close(paths, options) }
}

async function close(paths: DaemonPaths, options: EmbeddedEngineOptions): Promise<void> {
  await endDaemon(paths, options)
  await detachDisksBelow(paths.data)
}

/** Whether this machine and user can have one; a reason when not. */
export async function embeddedEngineObstacle(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `an embedded engine needs Linux, this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'an embedded engine needs root'
  return (await findProgram('dockerd')) ? undefined : 'there is no dockerd on this machine'
}

async function findDaemon(): Promise<string> {
  const obstacle = await embeddedEngineObstacle()
  const dockerd = await findProgram('dockerd')
  if (obstacle === undefined && dockerd) return dockerd
  throw new TrustedPodsError('PLATFORM_ENGINE_MISSING', `${obstacle}; on Debian or Ubuntu: apt-get install docker.io`)
}

async function adopt(paths: DaemonPaths, options: EmbeddedEngineOptions): Promise<Engine | undefined> {
  const { log, signal, adoptTimeoutMs: timeoutMs = ADOPT_TIMEOUT_MS } = options
  const left = await daemonProcess(paths)
  if (!left) return undefined
  try {
    const alive = async () => (await readProcess(left.pid)) !== undefined
    const engine = await awaitReady(paths, { alive, timeoutMs, signal })
    log.info('embedded engine of an earlier run adopted', { pid: left.pid, socket: paths.socket })
    return engine
  } catch (error) {
    signal?.throwIfAborted()
    log.warn('embedded engine of an earlier run does not answer and is ended', { pid: left.pid, error: String(error) })
    await endDaemon(paths, options)
    return undefined
  }
}

async function start(dockerd: string, paths: DaemonPaths, options: EmbeddedEngineOptions): Promise<Engine> {
  const { log, signal } = options
  await clearLeftovers(paths)
  const ownFirewall = (await findProgram('nft')) !== undefined
  if (!ownFirewall) log.warn('nft is missing: the embedded engine writes iptables, which other engines share')
  await writeDaemonSettings(paths, { iptables: !ownFirewall, runsc: await findProgram('runsc') })
  const rootIsMountPoint = (await listMountPoints()).includes('/')
  const child = await launch(daemonCommand(dockerd, paths, rootIsMountPoint), paths)
  log.info('embedded engine starting', { pid: child.pid, socket: paths.socket, log: paths.log, rootIsMountPoint })
  try {
    const alive = async () => child.exitCode === null && child.signalCode === null && child.pid !== undefined
    return await awaitReady(paths, { alive, timeoutMs: READY_TIMEOUT_MS, signal })
  } catch (error) {
    await endDaemon(paths, options)
    throw error
  }
}

/** A child of its own process group with its output in a file, so that it lives on when this process is killed. */
async function launch([program, args]: [string, string[]], paths: DaemonPaths): Promise<ChildProcess> {
  const output = await open(paths.log, 'w', 0o600)
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', output.fd, output.fd],
    env: { PATH: programPath(), HOME: '/root' },
  })
  // A program that is missing has no pid, which says enough.
  child.once('error', () => {})
  child.unref()
  await output.close()
  return child
}

async function awaitReady(
  paths: DaemonPaths,
  { alive, timeoutMs, signal }: { alive: () => Promise<boolean>; timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<Engine> {
  const until = Date.now() + timeoutMs
  while (Date.now() < until && (await alive())) {
    signal?.throwIfAborted()
    try {
      return await connectEngine(paths.socket, {
        embedded: true,
        signal: AbortSignal.timeout(Math.min(TRY_TIMEOUT_MS, timeoutMs)),
      })
    } catch {
      // Not up yet: dockerd makes its socket before it answers there.
      await sleep(POLL_MS)
    }
  }
  throw failed(`dockerd did not come up at ${paths.socket}; its log ends: ${await logTail(paths.log)}`)
}

async function logTail(path: string): Promise<string> {
  await using file = await open(path, 'r').catch(() => undefined)
  if (!file) return 'there is no log'
  const { size } = await file.stat()
  const { buffer, bytesRead } = await file.read(
    Buffer.alloc(LOG_TAIL_BYTES),
    0,
    LOG_TAIL_BYTES,
    Math.max(0, size - LOG_TAIL_BYTES),
  )
  return buffer.toString('utf8', 0, bytesRead).trimEnd()
}

/** The daemon of this folder, by its pid file and only if that process is one: pids are used again. */
async function daemonProcess(paths: DaemonPaths): Promise<ProcessEntry | undefined> {
  const pid = Number(await readFile(paths.pidFile, 'utf8').catch(() => '0'))
  const entry = Number.isSafeInteger(pid) && pid > 0 ? await readProcess(pid) : undefined
  return entry?.args.includes(`--data-root=${paths.data}`) ? entry : undefined
}

/** SIGTERM, then SIGKILL; then whatever of it is left: containerd, its shims and what they hold. Safe to repeat. */
async function endDaemon(paths: DaemonPaths, options: EmbeddedEngineOptions): Promise<void> {
  const { log, stopTimeoutMs: timeoutMs = STOP_TIMEOUT_MS } = options
  const daemon = await daemonProcess(paths)
  if (daemon) {
    signalProcess(daemon.pid, 'SIGTERM')
    if (!(await hasEnded(daemon.pid, timeoutMs))) {
      log.warn('embedded engine did not end in time and is killed', { pid: daemon.pid, waitedMs: timeoutMs })
    }
  }
  await clearLeftovers(paths)
  if (daemon) log.info('embedded engine ended', { pid: daemon.pid })
}

/**
 * Ends every process that names this engine's folders, with its descendants, and takes away its bind of `/`, socket, pid
 * file and run-time state. The next dockerd would take a dead containerd, of which it finds pid file and socket, for one
 * that is coming up.
 */
async function clearLeftovers(paths: DaemonPaths): Promise<void> {
  for (let left = await leftovers(paths); left.length > 0; left = await leftovers(paths)) {
    for (const { pid } of left) signalProcess(pid, 'SIGKILL')
    await Promise.all(left.map(({ pid }) => hasEnded(pid, STOP_TIMEOUT_MS)))
  }
  await unmountBind(paths.root)
  for (const path of [paths.pidFile, paths.socket, paths.exec]) await rm(path, { recursive: true, force: true })
  if (paths.volatile !== paths.folder) await rm(paths.volatile, { recursive: true, force: true })
}

async function leftovers(paths: DaemonPaths): Promise<ProcessEntry[]> {
  const processes = await listProcesses()
  const isOurs = ({ args }: ProcessEntry) =>
    args.some((arg) => arg === `--data-root=${paths.data}` || arg.startsWith(`${paths.exec}/`))
  return withDescendants(processes, processes.filter(isOurs))
}

async function hasEnded(pid: number, timeoutMs: number): Promise<boolean> {
  const until = Date.now() + timeoutMs
  while (await readProcess(pid)) {
    if (Date.now() > until) return false
    await sleep(POLL_MS)
  }
  return true
}
