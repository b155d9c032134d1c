/**
 * Which container engine this machine works with: what the configuration names, `DOCKER_HOST`, one that runs, else one of
 * our own. I/O. Spec: docs/runtime.md#engine.
 */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Logger } from '@trusted-pods/protocol/logger.ts'
import { embeddedEngineObstacle, openEmbeddedEngine } from './embedded-engine.ts'
import { connectEngine, type Engine } from './engine-client.ts'

/** Where Docker listens when nothing says otherwise. */
const MACHINE_SOCKET = '/var/run/docker.sock'

/** 1.41: Docker 20.10 and Podman 4; below it pods cannot be isolated as we do it. */
const LEAST_API_VERSION = [1, 41] as const

/** Podman 5.4: older ones drop the sandbox, GPUs and health checks without a word. */
const LEAST_PODMAN_VERSION = [5, 4] as const

export interface OpenEngineOptions {
  /** Socket of the engine to use, a path or unix:// address; no other is tried then. */
  readonly socket?: string | undefined
  /** Folder of the embedded engine; touched only when that one is used. */
  readonly stateDir: string
  readonly log: Logger
  /** Absent: the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
}

/** Disposing ends an embedded engine with its containers, and does nothing to another.
 * @throws TrustedPodsError PLATFORM_ENGINE_MISSING saying what to install, PLATFORM_ENGINE_FAILED when the one that was
 * named does not answer, PLATFORM_CONFIG when it is too old or not a unix socket. */
export async function openEngine(options: OpenEngineOptions): Promise<Engine & AsyncDisposable> {
  const { log, signal } = options
  const named = options.socket ?? (options.env ?? process.env).DOCKER_HOST
  if (named) return foreign(await connectEngine(socketPath(named), { signal }), log)
  try {
    return foreign(await connectEngine(MACHINE_SOCKET, { signal }), log)
  } catch (error) {
    signal?.throwIfAborted()
    const obstacle = await embeddedEngineObstacle()
    if (obstacle === undefined) return openEmbeddedEngine(options)
    throw missing(obstacle, error)
  }
}

function missing(obstacle: string, cause: unknown): unknown {
  if (cause instanceof TrustedPodsError && cause.code === 'PLATFORM_CONFIG') return cause
  const seen = cause instanceof Error ? cause.message : String(cause)
  return new TrustedPodsError(
    'PLATFORM_ENGINE_MISSING',
    `no container engine: ${seen}; ${obstacle}. Install Docker (Debian, Ubuntu: apt-get install docker.io) or set DOCKER_HOST`,
    { cause },
  )
}

function foreign(engine: Engine, log: Logger): Engine & AsyncDisposable {
  requireVersion(engine)
  log.info('container engine', { name: engine.name, version: engine.version, socket: engine.socket })
  return { ...engine, [Symbol.asyncDispose]: async () => {} }
}

/** @throws TrustedPodsError PLATFORM_CONFIG */
export function requireVersion({ name, version, apiVersion, socket }: Engine): void {
  const isPodman = name.startsWith('Podman')
  const [seen, wanted] = isPodman ? [version, LEAST_PODMAN_VERSION] : [apiVersion, LEAST_API_VERSION]
  if (isAtLeast(seen, wanted)) return
  const least = isPodman ? `Podman ${LEAST_PODMAN_VERSION.join('.')}` : 'Docker 20.10 (API 1.41)'
  throw new TrustedPodsError(
    'PLATFORM_CONFIG',
    `the engine at ${socket} is ${name} ${version} (API ${apiVersion}), at least ${least} is wanted`,
  )
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [seenMajor = 0, seenMinor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  return seenMajor > major || (seenMajor === major && seenMinor >= minor)
}

/** @throws TrustedPodsError PLATFORM_CONFIG for an address that is no unix socket. */
export function socketPath(address: string): string {
  const path = address.startsWith('unix://') ? address.slice('unix://'.length) : address
  if (path.startsWith('/')) return path
  throw new TrustedPodsError(
    'PLATFORM_CONFIG',
    `the engine's address is ${address.slice(0, 100)}, unix:///path/to/docker.sock is wanted`,
  )
}
