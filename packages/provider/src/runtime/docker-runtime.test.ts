import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { inspectContainer, listContainers } from '@trusted-pods/platform/engine/containers.ts'
import { embeddedEngineObstacle, openEmbeddedEngine } from '@trusted-pods/platform/engine/embedded-engine.ts'
import type { Engine, EngineRequest } from '@trusted-pods/platform/engine/engine-client.ts'
import type { FileEntry } from '@trusted-pods/platform/engine/file-tar.ts'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'
import { inspectImage, listImageTags, loadImage } from '@trusted-pods/platform/engine/images.ts'
import { at, numberAt, textAt } from '@trusted-pods/platform/engine/json-view.ts'
import { listNetworks } from '@trusted-pods/platform/engine/networks.ts'
import { buildScratchImage } from '@trusted-pods/platform/engine/scratch-image.ts'
import { listVolumes } from '@trusted-pods/platform/engine/volumes.ts'
import { hybridArchive } from '@trusted-pods/platform/hybrid-archive.ts'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { startFront } from '../gateway/front.ts'
import { openDockerRuntime } from './docker-runtime.ts'
import { infraName, memberName, OWNER_LABEL } from './pod-names.ts'
import type { ContainerSpec, ImageRef, PodRuntime, PodSpec, RuntimeLogLine } from './pod-runtime.ts'

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const obstacle = await embeddedEngineObstacle()
const skip = obstacle ?? false
const skipFirewall = skip || ((await findProgram('nft')) ? false : 'there is no nft on this machine')
const folder = await mkdtemp(join(tmpdir(), 'tp-runtime-'))
const stateDir = join(folder, 'engine')
const owner = `test-${randomBytes(4).toString('hex')}`
const opened: AsyncDisposable[] = []

let engine: Engine & AsyncDisposable
let runtime: PodRuntime & AsyncDisposable
let image: ImageRef
if (!skip) {
  engine = await openEmbeddedEngine({ stateDir, log })
  runtime = await openDockerRuntime(engine, { owner, log })
  image = await runtime.importImage(await busyboxImage())
}

after(async () => {
  if (!skip) {
    for (const { podId } of await runtime.list()) await runtime.remove(podId, { volumes: true })
    for (const each of [...opened, runtime, engine]) await each[Symbol.asyncDispose]()
  }
  await rm(folder, { recursive: true, force: true })
})

async function busyboxImage(config: object = { User: 'app' }): Promise<OpenedImage> {
  const busybox = await findProgram('busybox')
  assert.ok(busybox, 'busybox is wanted: apt-get install busybox-static')
  const applets = ['sh', 'cat', 'cp', 'echo', 'httpd', 'id', 'mkdir', 'nc', 'sleep', 'stat', 'wget']
  const files: FileEntry[] = [
    { kind: 'folder', path: 'bin' },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: await readFile(busybox) },
    ...applets.map((name): FileEntry => ({ kind: 'link', path: `bin/${name}`, target: 'busybox' })),
    { kind: 'folder', path: 'etc' },
    { kind: 'file', path: 'etc/passwd', content: Buffer.from('root:x:0:0::/:/bin/sh\napp:x:1234:1234::/:/bin/sh\n') },
  ]
  return buildScratchImage({
    layers: [files],
    config: { Env: ['PATH=/bin', 'FROM_IMAGE=yes'], ...config },
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
  })
}

function container(name: string, script: string, more: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    name,
    image,
    command: ['sh', '-c'],
    args: [script],
    workingDir: '',
    env: [],
    mounts: [],
    ports: [],
    cpuMillis: 250n,
    memoryBytes: 32n << 20n,
    gpus: 0,
    ...more,
  }
}

function podOf(containers: ContainerSpec[], volumes: PodSpec['volumes'] = []): PodSpec {
  return { podId: randomBytes(32).toString('hex'), containers, volumes }
}

/** Ends at once on SIGTERM, as a good server does. */
const WAIT = 'trap "exit 0" TERM; sleep 1000 & wait $!'

async function allLogs(podId: string): Promise<RuntimeLogLine[]> {
  return collect(runtime.logs(podId, { follow: false }))
}

async function said(podId: string, name: string): Promise<string> {
  const lines = await allLogs(podId)
  const ofContainer = lines.filter((line) => line.container === name && !line.stderr)
  return ofContainer.map((line) => Buffer.from(line.text).toString()).join('\n')
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  const signal = AbortSignal.timeout(15_000)
  for (;;) {
    const seen = await look()
    if (seen) return seen
    signal.throwIfAborted()
    await new Promise((settle) => setTimeout(settle, 50))
  }
}

function refused(code: ErrorCode, message = /./) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && message.test(error.message)
}

async function fetchText(url: string, host?: string): Promise<string> {
  const [response] = (await once(get(url, host ? { headers: { host } } : {}), 'response')) as [IncomingMessage]
  return text(response)
}

test('two containers share localhost and a volume, and each has its environment, secret and limits', {
  skip,
}, async (t) => {
  const mounts = [{ volume: 0, mountPath: '/data', readOnly: false }]
  const secret = { volume: 1, mountPath: '/run/secrets/key', readOnly: false }
  const facts =
    'cat /proc/self/status; stat -c "%a %u %s" /run/secrets/key; cat /run/secrets/key; echo "$GREETING $FROM_IMAGE"; id -u'
  const limits = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null'
  const web = container('web', `${facts}; ${limits}; echo page > /data/index.html; httpd -p 8080 -h /data; ${WAIT}`, {
    env: [{ name: 'GREETING', value: 'hi = there' }],
    mounts: [...mounts, secret],
  })
  const side = container(
    'side',
    `until wget -qO /data/copy http://web:8080/; do sleep 0.1; done; cat /data/copy; echo to stderr >&2; ${WAIT}`,
    { mounts },
  )
  const pod = podOf(
    [web, side],
    [
      { kind: 'empty-dir', sizeBytes: 1n << 20n },
      { kind: 'secret', sizeBytes: 0n, secret: Buffer.from('s3cret\n') },
    ],
  )
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  const observed = await runtime.apply(pod)
  assert.deepEqual(observed.containers.map(({ name, state }) => [name, state]).sort(), [
    ['side', 'running'],
    ['web', 'running'],
  ])
  await until(async () => (await said(pod.podId, 'side')).includes('page'))
  const seen = await said(pod.podId, 'web')
  for (const wanted of [
    /^CapEff:\s+0+$/m,
    /^NoNewPrivs:\s+1$/m,
    /^Seccomp:\s+2$/m,
    /^400 1234 7$/m,
    /^s3cret$/m,
    /^hi = there yes$/m,
    /^1234$/m,
    /^33554432$/m,
  ]) {
    assert.match(seen, wanted)
  }
  const errors = (await allLogs(pod.podId)).filter(({ stderr }) => stderr)
  assert.deepEqual(
    errors.map(({ container: name, text: line }) => [name, Buffer.from(line).toString()]),
    [['side', 'to stderr']],
  )
  const inspection = await inspectContainer(engine, memberName(pod.podId, 'web'))
  assert.equal(numberAt(inspection, 'HostConfig', 'NanoCpus'), 250_000_000)
  assert.equal(numberAt(inspection, 'HostConfig', 'PidsLimit'), 1024)
  assert.doesNotMatch(JSON.stringify(inspection), /s3cret/)
  const usage = await runtime.usage(pod.podId)
  assert.ok((usage.cpuMicros ?? 0n) > 0n && (usage.memoryPeakBytes ?? 0n) > 0n)
})

test('a secret is on no disk of the engine', { skip }, async (t) => {
  const marker = randomBytes(12).toString('hex')
  const pod = podOf(
    [container('one', `cat /key; ${WAIT}`, { mounts: [{ volume: 0, mountPath: '/key', readOnly: true }] })],
    [{ kind: 'secret', sizeBytes: 0n, secret: Buffer.from(marker.slice(0, 12)) }],
  )
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await runtime.apply(pod)
  // Its output is in the log, so the file is looked for by its name and content in the volumes and layers.
  for (const part of ['volumes', 'overlay2']) {
    const { stdout } = await promisify(execFile)('grep', [
      '-rl',
      '--include=uid-*',
      marker.slice(0, 12),
      join(stateDir, 'data', part),
    ]).catch(() => ({ stdout: '' }))
    assert.equal(stdout, '')
  }
})

test('ports are published on the host’s address, TCP and UDP; that of an HTTP host is not', { skip }, async (t) => {
  const [tcp, udp, http] = [await freePort(), await freePort(), await freePort()]
  const port = { hostIp: '127.0.0.1', httpHost: '', protocol: 'tcp' as const }
  const script = `mkdir /dev/shm/w; echo hello > /dev/shm/w/index.html; httpd -p 80 -h /dev/shm/w; ${WAIT}`
  const pod = podOf([
    container('web', script, {
      image: await runtime.importImage(await busyboxImage({ User: '' })),
      ports: [
        { ...port, port: tcp, targetPort: 80 },
        { ...port, port: udp, targetPort: 53, protocol: 'udp' },
        { ...port, port: http, targetPort: 81, httpHost: 'x.example' },
      ],
    }),
  ])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  const { published } = await runtime.apply(pod)
  const on = { container: 'web', hostIp: '127.0.0.1' }
  assert.deepEqual(
    published.toSorted((a, b) => a.targetPort - b.targetPort),
    [
      { ...on, targetPort: 53, protocol: 'udp', hostPort: udp },
      { ...on, targetPort: 80, protocol: 'tcp', hostPort: tcp },
    ],
  )
  assert.equal(await until(() => fetchText(`http://127.0.0.1:${tcp}/`).catch(() => undefined)), 'hello\n')
  assert.ok(await isTakenUdp(udp))
  assert.ok(!(await isTakenUdp(http)))
  await assert.rejects(fetchText(`http://127.0.0.1:${http}/`), { code: 'ECONNREFUSED' })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((settle) => server.close(settle))
  return port
}

async function isTakenUdp(port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  const taken = new Promise<boolean>((settle) => {
    socket.once('listening', () => settle(false)).once('error', () => settle(true))
  })
  socket.bind(port, '127.0.0.1')
  return taken.finally(() => socket.close())
}

test('the front serves the pod at its address', { skip }, async (t) => {
  const front = await startFront({ host: '127.0.0.1', port: 0, log })
  t.after(() => front.close())
  const pod = podOf([
    container('web', `mkdir /dev/shm/w; echo fronted > /dev/shm/w/index.html; httpd -p 8080 -h /dev/shm/w; ${WAIT}`),
  ])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  const { address } = await runtime.apply(pod)
  assert.ok(address)
  front.setRoute('pod.example', { address, port: 8080 })
  const url = `http://127.0.0.1:${front.address.port}/`
  assert.equal(
    await until(async () => [await fetchText(url, 'pod.example')].find((page) => page.startsWith('fronted'))),
    'fronted\n',
  )
})

test('apply is idempotent, and a new runtime finds what an earlier one made', { skip }, async (t) => {
  const pod = podOf([container('one', WAIT), container('two', WAIT)], [{ kind: 'empty-dir', sizeBytes: 0n }])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  const first = await runtime.apply(pod)
  const before = await idsOf(pod.podId)
  assert.equal(before.length, 3)
  assert.deepEqual(await runtime.apply(pod), first)
  await using other = await openDockerRuntime(engine, { owner, log })
  assert.deepEqual(await other.observe(pod.podId), first)
  assert.ok((await other.list()).some(({ podId }) => podId === pod.podId))
  assert.deepEqual(await Promise.all([other.apply(pod), runtime.apply(pod)]), [first, first])
  assert.deepEqual(await idsOf(pod.podId), before)
})

test('a changed spec changes that container alone; one that left the spec is removed', { skip }, async (t) => {
  const [one, two] = [container('one', WAIT), container('two', WAIT)]
  const pod = podOf([one, two])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await runtime.apply(pod)
  const idOf = async (name: string) => textAt(await inspectContainer(engine, memberName(pod.podId, name)), 'Id')
  const [oneBefore, twoBefore] = [await idOf('one'), await idOf('two')]
  await runtime.apply({ ...pod, containers: [{ ...one, cpuMillis: 100n }, two] })
  assert.notEqual(await idOf('one'), oneBefore)
  assert.equal(await idOf('two'), twoBefore)
  const { containers } = await runtime.apply({ ...pod, containers: [two] })
  assert.deepEqual(
    containers.map(({ name }) => name),
    ['two'],
  )
})

async function idsOf(podId: string): Promise<string[]> {
  const containers = await listContainers(engine, { 'tp.pod': podId })
  return containers.map(({ id }) => id).sort()
}

test('an exit is observed with its code, and apply starts the container again', { skip }, async (t) => {
  const pod = podOf([container('job', 'echo once more; exit 7'), container('stays', WAIT)])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  const leave = new AbortController()
  const hint = runtime.watch({ signal: leave.signal })[Symbol.asyncIterator]().next()
  await runtime.apply(pod)
  assert.deepEqual((await hint).value, { podId: pod.podId })
  leave.abort()
  const jobOf = async () => (await runtime.observe(pod.podId))?.containers.find(({ name }) => name === 'job')
  const exited = { name: 'job', state: 'exited', exitCode: 7 }
  assert.deepEqual(await until(async () => [await jobOf()].find((job) => job?.state === 'exited')), {
    ...exited,
    restarts: 0,
  })
  await runtime.apply(pod)
  assert.deepEqual(await until(async () => [await jobOf()].find((job) => job?.state === 'exited')), {
    ...exited,
    restarts: 1,
  })
  assert.equal(await said(pod.podId, 'job'), 'once more\nonce more')
})

test('logs follow, by container and by tail; an unknown one is refused', { skip }, async (t) => {
  const pod = podOf([container('a', `echo 1; echo 2; ${WAIT}`), container('b', `echo 3; ${WAIT}`)])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await runtime.apply(pod)
  await until(async () => (await allLogs(pod.podId)).length === 3)
  const texts = async (options: object) =>
    (await collect(runtime.logs(pod.podId, { follow: false, ...options }))).map((line) =>
      Buffer.from(line.text).toString(),
    )
  assert.deepEqual(await texts({ container: 'a' }), ['1', '2'])
  assert.deepEqual(await texts({ container: 'a', tail: 1 }), ['2'])
  const followed: string[] = []
  for await (const line of runtime.logs(pod.podId, { follow: true })) {
    followed.push(`${line.container}${Buffer.from(line.text)}`)
    if (followed.length === 3) break
  }
  assert.deepEqual(followed.sort(), ['a1', 'a2', 'b3'])
  await assert.rejects(texts({ container: 'c' }), refused('STATUS_UNKNOWN_CONTAINER'))
  await assert.rejects(collect(runtime.logs('0'.repeat(64), { follow: false })), refused('STATUS_UNKNOWN_POD'))
})

test('remove leaves nothing, is safe to repeat, and keeps another owner’s pod', { skip }, async () => {
  await using other = await openDockerRuntime(engine, { owner: `${owner}-b`, log })
  const foreign = podOf([container('x', WAIT, { image: await other.importImage(await busyboxImage()) })])
  await other.apply(foreign)
  const pod = podOf(
    [container('x', WAIT)],
    [
      { kind: 'volume', sizeBytes: 1n },
      { kind: 'secret', sizeBytes: 0n, secret: Buffer.from('x') },
    ],
  )
  await runtime.apply(pod)
  await runtime.remove(pod.podId, { volumes: true })
  await runtime.remove(pod.podId, { volumes: true })
  assert.equal(await runtime.observe(pod.podId), undefined)
  await runtime.remove(foreign.podId, { volumes: true })
  assert.equal((await other.observe(foreign.podId))?.containers[0]?.state, 'running')
  assert.equal(await runtime.observe(foreign.podId), undefined)
  await other.remove(foreign.podId, { volumes: true })
  await other.pruneImages(new Set())
  const labels = { [OWNER_LABEL]: `${owner}-b` }
  const left = await Promise.all([
    listContainers(engine, labels),
    listNetworks(engine, labels),
    listVolumes(engine, labels),
  ])
  assert.deepEqual(left, [[], [], []])
  for (const { podId } of [pod, foreign]) {
    assert.ok(!Object.keys(networkInterfaces()).includes(`tp-${podId.slice(0, 8)}`))
    assert.ok(!(await readFile('/proc/net/dev', 'utf8')).includes(`tp-${podId.slice(0, 8)}`))
  }
  const cgroups = await readdir('/sys/fs/cgroup', { recursive: true })
  assert.deepEqual(
    cgroups.filter((path) => path.includes(pod.podId.slice(0, 16)) || path.includes(`${owner}-b`)),
    [],
  )
})

test('a volume outlives its pod where that is asked; an empty-dir does not', { skip }, async (t) => {
  const mounts = [0, 1].map((volume) => ({ volume, mountPath: `/v${volume}`, readOnly: false }))
  const pod = podOf(
    [container('x', `cat /v0/f /v1/f; echo kept > /v0/f; echo kept > /v1/f; ${WAIT}`, { mounts })],
    [
      { kind: 'volume', sizeBytes: 1n },
      { kind: 'empty-dir', sizeBytes: 1n },
    ],
  )
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await runtime.apply(pod)
  await until(async () => (await allLogs(pod.podId)).length === 2)
  await runtime.remove(pod.podId, { volumes: false })
  assert.deepEqual((await runtime.observe(pod.podId))?.containers, [])
  await runtime.apply(pod)
  await until(async () => (await allLogs(pod.podId)).length === 2)
  assert.equal(await said(pod.podId, 'x'), 'kept')
})

test('an image of another name is refused, and one that was put under our name is replaced', { skip }, async () => {
  for (const name of ['busybox:1', 'tpod.invalid/other/image:x', `${image.slice(0, -64)}latest`]) {
    const pod = podOf([container('x', WAIT, { image: name as ImageRef })])
    await assert.rejects(runtime.apply(pod), refused('PROVISION_IMAGE_REFUSED'))
    assert.equal(await runtime.observe(pod.podId), undefined)
  }
  const [wanted, planted] = [await busyboxImage({ User: '5' }), await busyboxImage({ User: '0' })]
  const name = `tpod.invalid/${owner}/image:${wanted.digest.slice(7)}`
  await loadImage(engine, hybridArchive(planted, { repoTag: name }))
  assert.equal(textAt((await inspectImage(engine, name))?.config, 'User'), '0')
  assert.equal(await runtime.importImage(wanted), name)
  assert.equal(textAt((await inspectImage(engine, name))?.config, 'User'), '5')
  await runtime.pruneImages(new Set([image]))
  assert.deepEqual(await listImageTags(engine, `tpod.invalid/${owner}/image`), [image])
})

test('an image that names a user it does not have is refused where a secret is to be his', { skip }, async (t) => {
  const nobody = await runtime.importImage(await busyboxImage({ User: 'ghost' }))
  const mounts = [{ volume: 0, mountPath: '/key', readOnly: true }]
  const pod = podOf(
    [container('x', WAIT, { image: nobody, mounts })],
    [{ kind: 'secret', sizeBytes: 0n, secret: Buffer.from('x') }],
  )
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await assert.rejects(runtime.apply(pod), refused('PROVISION_IMAGE_REFUSED', /"ghost"/))
})

test('what cannot run is refused: limits too low, a volume that is not there, a GPU, a command that is not there', {
  skip,
}, async (t) => {
  const cases: [Partial<ContainerSpec>, ErrorCode][] = [
    [{ cpuMillis: 0n }, 'PROVISION_BAD_POD'],
    [{ memoryBytes: 1n << 20n }, 'PROVISION_BAD_POD'],
    [{ mounts: [{ volume: 3, mountPath: '/x', readOnly: false }] }, 'PROVISION_BAD_POD'],
    [{ gpus: 1 }, 'PROVISION_RUNTIME'],
    [{ command: ['/no/such/program'] }, 'PROVISION_CONTAINER_EXITED'],
  ]
  const pod = podOf([container('x', WAIT)])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  for (const [change, code] of cases) {
    await assert.rejects(runtime.apply({ ...pod, containers: [container('x', WAIT, change)] }), refused(code))
  }
  await assert.rejects(runtime.apply({ ...pod, podId: 'A'.repeat(64) }), refused('PROVISION_BAD_POD'))
  await assert.rejects(openDockerRuntime(engine, { owner: 'Not Good', log }), refused('PLATFORM_CONFIG'))
  await assert.rejects(openDockerRuntime(engine, { owner, log, podNetwork: '10.0.0.0/30' }), refused('PLATFORM_CONFIG'))
})

test('an engine that drops a limit is refused and keeps nothing of the pod', { skip }, async () => {
  const forgetful: Engine = {
    ...engine,
    ask: (request) =>
      engine.ask(request.path === '/containers/create' ? { ...request, json: without(request, 'PidsLimit') } : request),
  }
  const weak = await openDockerRuntime(forgetful, { owner, log })
  const pod = podOf([container('x', WAIT)])
  await assert.rejects(weak.apply(pod), refused('PROVISION_RUNTIME_MISMATCH', /HostConfig\.PidsLimit/))
  assert.equal(await runtime.observe(pod.podId), undefined)
})

function without({ json }: EngineRequest, field: string): object {
  const hostConfig = Object.entries(at(json, 'HostConfig') ?? {}).filter(([name]) => name !== field)
  return { ...Object(json), HostConfig: Object.fromEntries(hostConfig) }
}

test('an apply that was killed after any of its steps is completed by the next, once', { skip }, async (t) => {
  const mounts = [0, 1].map((volume) => ({ volume, mountPath: `/v${volume}`, readOnly: false }))
  const containers = [container('one', `cat /v1; ${WAIT}`, { mounts }), container('two', WAIT)]
  const volumes = [
    { kind: 'empty-dir' as const, sizeBytes: 1n },
    { kind: 'secret' as const, sizeBytes: 0n, secret: Buffer.from('s3\n') },
  ]
  const steps = await countChanges(podOf(containers, volumes))
  assert.ok(steps >= 10, `${steps} requests that change something were expected to be 10 or more`)
  for (let step = 1; step < steps; step += 2) {
    const pod = podOf(containers, volumes)
    t.after(() => runtime.remove(pod.podId, { volumes: true }))
    const dying = await openDockerRuntime(dyingEngine(step).engine, { owner, log })
    await assert.rejects(dying.apply(pod), `step ${step}`)
    const { containers: seen } = await runtime.apply(pod)
    assert.deepEqual(
      seen.map(({ state }) => state),
      ['running', 'running'],
      `step ${step}`,
    )
    assert.equal((await idsOf(pod.podId)).length, 3, `step ${step}`)
    assert.equal(await until(() => said(pod.podId, 'one')), 's3', `step ${step}`)
    await runtime.remove(pod.podId, { volumes: true })
  }
})

/** The engine until its `last`-th request that changes something was carried out; that one's answer and all later are lost. */
function dyingEngine(last: number): { engine: Engine; changes: () => number } {
  let changes = 0
  const ask: Engine['ask'] = async (request) => {
    if (changes >= last) throw new TrustedPodsError('PLATFORM_ENGINE_FAILED', 'killed')
    const answer = await engine.ask(request)
    if (request.method !== undefined && ++changes >= last)
      throw new TrustedPodsError('PLATFORM_ENGINE_FAILED', 'killed')
    return answer
  }
  return { engine: { ...engine, ask }, changes: () => changes }
}

async function countChanges(pod: PodSpec): Promise<number> {
  const counting = dyingEngine(Number.POSITIVE_INFINITY)
  const counted = await openDockerRuntime(counting.engine, { owner, log })
  await counted.apply(pod)
  const changes = counting.changes()
  await counted.remove(pod.podId, { volumes: true })
  return changes
}

test('pods reach neither the host nor each other, and the rules go with the last pod', {
  skip: skipFirewall,
}, async (t) => {
  const host = createServer((_, response) => response.end('the host')).listen(0, '0.0.0.0')
  await once(host, 'listening')
  t.after(() => host.close())
  const { port } = host.address() as AddressInfo
  const web = podOf([
    container('web', `mkdir /dev/shm/w; echo other > /dev/shm/w/index.html; httpd -p 8080 -h /dev/shm/w; ${WAIT}`),
  ])
  t.after(() => runtime.remove(web.podId, { volumes: true }))
  const { address } = await runtime.apply(web)
  await until(() => fetchText(`http://${address}:8080/`).catch(() => undefined))
  const gateway = address?.replace(/\d+$/, (last) => String(Number(last) - 1))
  const own = Object.values(networkInterfaces())
    .flat()
    .filter((each) => each?.family === 'IPv4' && !each.internal)
    .map((each) => each?.address)
  const targets = [`${address}:8080`, '127.0.0.1:8081', ...[gateway, ...own].map((ip) => `${ip}:${port}`)]
  const tries = targets.map(
    (target) => `(echo | nc -w 1 ${target.replace(':', ' ')} > /dev/null 2>&1 && echo reached ${target})`,
  )
  const pod = podOf([container('x', `httpd -p 8081; ${tries.join('; ')}; echo tried; ${WAIT}`)])
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await runtime.apply(pod)
  await until(async () => (await said(pod.podId, 'x')).includes('tried'))
  assert.equal(await said(pod.podId, 'x'), 'reached 127.0.0.1:8081\ntried')
  const tables = async () =>
    (await promisify(execFile)('nft', ['list', 'tables'])).stdout
      .split(/\s+/)
      .filter((word) => word.startsWith('tpod_'))
  const before = await tables()
  const brief = await openDockerRuntime(engine, { owner: `${owner}-c`, log })
  const [added] = (await tables()).filter((table) => !before.includes(table))
  assert.ok(added)
  await brief[Symbol.asyncDispose]()
  assert.ok(!(await tables()).includes(added))
})

test('after kill -9 of the engine the pod comes back whole, once', { skip }, async (t) => {
  const mounts = [{ volume: 0, mountPath: '/key', readOnly: true }]
  const pod = podOf(
    [container('one', `cat /key; ${WAIT}`, { mounts }), container('two', WAIT)],
    [{ kind: 'secret', sizeBytes: 0n, secret: Buffer.from('s3\n') }],
  )
  t.after(() => runtime.remove(pod.podId, { volumes: true }))
  await runtime.apply(pod)
  const before = await idsOf(pod.podId)
  const leave = new AbortController()
  t.after(() => leave.abort())
  const hints = runtime.watch({ signal: leave.signal })[Symbol.asyncIterator]()
  const hint = hints.next()
  process.kill(Number(await readFile(join(stateDir, 'dockerd.pid'), 'utf8')), 'SIGKILL')
  await assert.rejects(
    until(() => runtime.observe(pod.podId).then(() => undefined)),
    refused('PLATFORM_ENGINE_FAILED'),
  )
  engine = await openEmbeddedEngine({ stateDir, log })
  runtime = await openDockerRuntime(engine, { owner, log })
  assert.deepEqual(
    (await runtime.observe(pod.podId))?.containers.map(({ state }) => state),
    ['exited', 'exited'],
  )
  const { containers } = await runtime.apply(pod)
  assert.deepEqual(
    containers.map(({ state }) => state),
    ['running', 'running'],
  )
  assert.deepEqual(await idsOf(pod.podId), before)
  assert.equal(await until(async () => [await said(pod.podId, 'one')].find((all) => all.includes('\n'))), 's3\ns3')
  assert.deepEqual((await hint).value, { podId: pod.podId })
  await engine.ask({ method: 'POST', path: `/containers/${infraName(pod.podId)}/kill` })
  assert.ok((await runtime.observe(pod.podId))?.containers.every(({ state }) => state !== 'running'))
  await runtime.apply(pod)
  assert.ok((await runtime.observe(pod.podId))?.containers.every(({ state }) => state === 'running'))
})
