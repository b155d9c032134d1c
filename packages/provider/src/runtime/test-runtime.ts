/** For the tests: a runtime over an engine that is started for them in a temporary folder, and pods of busybox to run in it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { embeddedEngineObstacle, openEmbeddedEngine } from '@trusted-pods/platform/engine/embedded-engine.ts'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import type { FileEntry } from '@trusted-pods/platform/engine/file-tar.ts'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { buildScratchImage } from '@trusted-pods/platform/engine/scratch-image.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { openDockerRuntime } from './docker-runtime.ts'
import { POD_LABEL } from './pod-names.ts'
import type { ContainerSpec, ImageRef, PodRuntime, PodSpec, RuntimeLogLine } from './pod-runtime.ts'

export const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** A script's end that waits, and ends at once on SIGTERM, as a good server does. */
export const WAIT = 'trap "exit 0" TERM; sleep 1000 & wait $!'

interface Opened {
  readonly folder: string
  engine: Engine & AsyncDisposable
  runtime: PodRuntime & AsyncDisposable
  readonly image: ImageRef
}

/** `open` before the tests, `close` after them; where there can be no engine, `skip` says why and nothing is opened. */
export class TestRuntime {
  readonly owner = `test-${randomBytes(4).toString('hex')}`
  readonly skip: string | false
  #opened: Opened | undefined

  private constructor(skip: string | false) {
    this.skip = skip
  }

  static async open(): Promise<TestRuntime> {
    const test = new TestRuntime((await embeddedEngineObstacle()) ?? false)
    if (test.skip) return test
    const folder = await mkdtemp(join(tmpdir(), 'tp-runtime-'))
    const engine = await openEmbeddedEngine({ stateDir: join(folder, 'engine'), log })
    const runtime = await openDockerRuntime(engine, { owner: test.owner, log })
    test.#opened = { folder, engine, runtime, image: await runtime.importImage(await busyboxImage()) }
    return test
  }

  get #parts(): Opened {
    if (!this.#opened) throw new Error('there is no engine for this test')
    return this.#opened
  }

  get engine(): Engine {
    return this.#parts.engine
  }

  get runtime(): PodRuntime {
    return this.#parts.runtime
  }

  /** Busybox, imported. */
  get image(): ImageRef {
    return this.#parts.image
  }

  /** Folder of the engine. */
  get stateDir(): string {
    return join(this.#parts.folder, 'engine')
  }

  /** kill -9 of the engine. */
  async kill(): Promise<void> {
    process.kill(Number(await readFile(join(this.stateDir, 'dockerd.pid'), 'utf8')), 'SIGKILL')
  }

  /** Engine and runtime as a provider that comes up opens them. */
  async reopen(): Promise<void> {
    this.#parts.engine = await openEmbeddedEngine({ stateDir: this.stateDir, log })
    this.#parts.runtime = await openDockerRuntime(this.engine, { owner: this.owner, log })
  }

  /** Removes every pod, ends the engine. */
  async close(): Promise<void> {
    if (!this.#opened) return
    const { engine, runtime, folder } = this.#opened
    for (const { podId } of await runtime.list()) await runtime.remove(podId, { volumes: true })
    await runtime[Symbol.asyncDispose]()
    await engine[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }

  container(name: string, script: string, more: Partial<ContainerSpec> = {}): ContainerSpec {
    const none = { workingDir: '', env: [], mounts: [], ports: [], gpus: 0 }
    const limits = { cpuMillis: 250n, memoryBytes: 32n << 20n }
    return { name, image: this.image, command: ['sh', '-c'], args: [script], ...none, ...limits, ...more }
  }

  allLogs(podId: string): Promise<RuntimeLogLine[]> {
    return collect(this.runtime.logs(podId, { follow: false }))
  }

  /** What a container wrote to its standard output. */
  async said(podId: string, name: string): Promise<string> {
    const lines = (await this.allLogs(podId)).filter((line) => line.container === name && !line.stderr)
    return lines.map((line) => Buffer.from(line.text).toString()).join('\n')
  }

  /** The engine's ids of a pod's containers. */
  async idsOf(podId: string): Promise<string[]> {
    const containers = await listContainers(this.engine, { [POD_LABEL]: podId })
    return containers.map(({ id }) => id).sort()
  }
}

export function podOf(containers: ContainerSpec[], volumes: PodSpec['volumes'] = []): PodSpec {
  return { podId: randomBytes(32).toString('hex'), containers, volumes }
}

/** Runs as user `app`, 1234, unless `config` says other. @param more a second layer. */
export async function busyboxImage(config: object = { User: 'app' }, more: FileEntry[] = []): Promise<OpenedImage> {
  const busybox = await findProgram('busybox')
  assert.ok(busybox, 'busybox is wanted: apt-get install busybox-static')
  const applets = ['sh', 'cat', 'cp', 'echo', 'httpd', 'id', 'mkdir', 'nc', 'sleep', 'stat', 'wc', 'wget']
  const users = 'root:x:0:0::/:/bin/sh\napp:x:1234:1234::/:/bin/sh\n'
  const files: FileEntry[] = [
    { kind: 'folder', path: 'bin' },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: await readFile(busybox) },
    ...applets.map((name): FileEntry => ({ kind: 'link', path: `bin/${name}`, target: 'busybox' })),
    { kind: 'folder', path: 'etc' },
    { kind: 'file', path: 'etc/passwd', content: Buffer.from(users) },
  ]
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const imageConfig = { Env: ['PATH=/bin', 'FROM_IMAGE=yes'], ...config }
  return buildScratchImage({ layers: more.length > 0 ? [files, more] : [files], config: imageConfig, architecture })
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** Looks until there is something to see; 15 s at most. */
export async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  const signal = AbortSignal.timeout(15_000)
  for (;;) {
    const seen = await look()
    if (seen) return seen
    signal.throwIfAborted()
    await new Promise((settle) => setTimeout(settle, 50))
  }
}

export function refused(code: ErrorCode, message = /./) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && message.test(error.message)
}

export async function fetchText(url: string, host?: string): Promise<string> {
  const [response] = (await once(get(url, host ? { headers: { host } } : {}), 'response')) as [IncomingMessage]
  return text(response)
}
