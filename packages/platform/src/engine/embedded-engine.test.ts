import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { hybridArchive } from '../hybrid-archive.ts'
import { createContainer, inspectContainer, listContainers, startContainer } from './containers.ts'
import { embeddedEngineObstacle, openEmbeddedEngine } from './embedded-engine.ts'
import { oneChunk, packFiles } from './file-tar.ts'
import { findProgram } from './find-program.ts'
import { inspectImage, loadImage, removeImage, saveImage } from './images.ts'
import { textAt } from './json-view.ts'
import { listProcesses } from './process-table.ts'
import { buildScratchImage } from './scratch-image.ts'
import { testInChroot } from './test-chroot.ts'

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
// All that is awaited is up here: a file whose registered tests have ended while it awaits runs its `after`.
const skip = (await embeddedEngineObstacle()) ?? false
const skipFirewall = skip || ((await findProgram('nft')) ? false : 'there is no nft on this machine')
const folder = await mkdtemp(join(tmpdir(), 'tp-embedded-'))
after(() => rm(folder, { recursive: true, force: true }))

function refused(code: ErrorCode, message = /./) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && message.test(error.message)
}

/** Processes that name a folder in their arguments. */
async function processesOf(stateDir: string): Promise<string[]> {
  const processes = await listProcesses()
  return processes.filter(({ args }) => args.some((arg) => arg.includes(stateDir))).map(({ args }) => args.join(' '))
}

async function pidOf(stateDir: string): Promise<number> {
  return Number(await readFile(join(stateDir, 'dockerd.pid'), 'utf8'))
}

async function busyboxImage(): Promise<OpenedImage> {
  const busybox = await findProgram('busybox')
  assert.ok(busybox, 'busybox is wanted: apt-get install busybox-static')
  return buildScratchImage({
    layers: [[{ kind: 'file', path: 'busybox', mode: 0o755, content: await readFile(busybox) }]],
    config: { Entrypoint: ['/busybox'] },
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
  })
}

test('an engine starts, is adopted, and ends without a process or mount left', { skip }, async () => {
  const stateDir = join(folder, 'life')
  const engine = await openEmbeddedEngine({ stateDir, log })
  assert.ok(engine.embedded)
  const pid = await pidOf(stateDir)
  const again = await Promise.all([openEmbeddedEngine({ stateDir, log }), openEmbeddedEngine({ stateDir, log })])
  assert.equal(await pidOf(stateDir), pid)
  assert.deepEqual(
    again.map(({ socket }) => socket),
    [engine.socket, engine.socket],
  )
  await engine[Symbol.asyncDispose]()
  assert.deepEqual(await processesOf(stateDir), [])
  assert.doesNotMatch(await readFile('/proc/mounts', 'utf8'), new RegExp(stateDir))
  await again[0][Symbol.asyncDispose]()
})

test('images go in, out and away; what is no image is refused with the engine’s reason', { skip }, async () => {
  await using engine = await openEmbeddedEngine({ stateDir: join(folder, 'images'), log })
  const image = await busyboxImage()
  await loadImage(engine, hybridArchive(image, { repoTag: 'test/busybox:1' }))
  const seen = await inspectImage(engine, 'test/busybox:1')
  assert.deepEqual(
    seen?.diffIds,
    image.layers.map(({ diffId }) => diffId),
  )
  assert.equal(seen?.id, `sha256:${createHash('sha256').update(image.config).digest('hex')}`)
  const saved: Uint8Array[] = []
  for await (const chunk of await saveImage(engine, 'test/busybox:1')) saved.push(chunk)
  assert.ok(await removeImage(engine, 'test/busybox:1'))
  assert.ok(!(await removeImage(engine, 'test/busybox:1')))
  await assert.rejects(saveImage(engine, 'test/busybox:1'), refused('MANIFEST_IMAGE_NOT_FOUND', /test\/busybox:1/))
  await loadImage(engine, oneChunk(Buffer.concat(saved)))
  assert.deepEqual(await inspectImage(engine, 'test/busybox:1'), seen)
  const noImage = await packFiles([{ kind: 'file', path: 'manifest.json', content: Buffer.from('[{"Config":"x"}]') }])
  for (const bytes of [Buffer.from('no tar at all'), noImage]) {
    await assert.rejects(loadImage(engine, oneChunk(bytes)), refused('PLATFORM_ENGINE_FAILED'))
  }
})

test('an archive that breaks off registers nothing and gives the reason why it did', { skip }, async () => {
  await using engine = await openEmbeddedEngine({ stateDir: join(folder, 'images'), log })
  const image = await busyboxImage()
  const broken = new TrustedPodsError('PROVISION_IMAGE_REFUSED', 'the layer is not what its digest says')
  async function* breaking(): AsyncGenerator<Uint8Array> {
    let sent = 0
    for await (const chunk of hybridArchive(image, { repoTag: 'test/broken:1' })) {
      if (sent > 100_000) throw broken
      sent += chunk.length
      yield chunk
    }
  }
  await assert.rejects(loadImage(engine, breaking()), broken)
  assert.equal(await inspectImage(engine, 'test/broken:1'), undefined)
})

test('one that was killed is started again; what it ran has ended and is still known', { skip }, async () => {
  const stateDir = join(folder, 'killed')
  const killed = await openEmbeddedEngine({ stateDir, log })
  await loadImage(killed, hybridArchive(await busyboxImage(), { repoTag: 'test/busybox:1' }))
  const body = {
    Image: 'test/busybox:1',
    Cmd: ['sleep', '1000'],
    StopTimeout: 1,
    Labels: { test: 'yes' },
    HostConfig: { NetworkMode: 'none' },
  }
  const id = await createContainer(killed, 'sleeper', { body })
  await startContainer(killed, id)
  process.kill(await pidOf(stateDir), 'SIGKILL')
  await using engine = await openEmbeddedEngine({ stateDir, log })
  assert.deepEqual(
    (await listContainers(engine, { test: 'yes' })).map(({ state }) => state),
    ['exited'],
  )
  await startContainer(engine, id)
  assert.equal(textAt(await inspectContainer(engine, id), 'State', 'Status'), 'running')
})

test('one that does not answer is ended and replaced', { skip }, async () => {
  const stateDir = join(folder, 'frozen')
  await openEmbeddedEngine({ stateDir, log })
  const pid = await pidOf(stateDir)
  process.kill(pid, 'SIGSTOP')
  await using _engine = await openEmbeddedEngine({ stateDir, log, adoptTimeoutMs: 300, stopTimeoutMs: 300 })
  assert.notEqual(await pidOf(stateDir), pid)
})

test('a pid file that names another process touches nothing but the file', { skip }, async () => {
  const stateDir = join(folder, 'stale')
  await mkdir(stateDir)
  await writeFile(join(stateDir, 'dockerd.pid'), String(process.pid))
  await using engine = await openEmbeddedEngine({ stateDir, log })
  assert.ok(engine.version)
})

test('one that cannot start says why', { skip }, async () => {
  const stateDir = join(folder, 'spoiled')
  await mkdir(join(stateDir, 'data'), { recursive: true })
  await writeFile(join(stateDir, 'data', 'overlay2'), 'no folder')
  await writeFile(join(stateDir, 'data', 'image'), 'no folder')
  await assert.rejects(openEmbeddedEngine({ stateDir, log }), refused('PLATFORM_ENGINE_FAILED', /its log ends: /))
  assert.deepEqual(await processesOf(stateDir), [])
})

test('a second engine leaves the machine’s iptables and the first one’s containers alone', {
  skip: skipFirewall,
}, async () => {
  // Tables of providers, whose tests run at the same time, come and go.
  const rules = async () => {
    const tables = (await promisify(execFile)('nft', ['list', 'ruleset'])).stdout.split(/^(?=table )/m)
    return tables.filter((table) => !table.startsWith('table inet tpod_'))
  }
  const before = await rules()
  await using _one = await openEmbeddedEngine({ stateDir: join(folder, 'one'), log })
  {
    await using _two = await openEmbeddedEngine({ stateDir: join(folder, 'two'), log })
    assert.deepEqual(await rules(), before)
  }
  assert.deepEqual(await rules(), before)
})

test('it runs containers where / is not a mount point, as inside a plain chroot', { skip }, async () => {
  const report = await testInChroot(import.meta.filename, { root: join(folder, 'root'), name: 'one that was killed' })
  assert.match(report, /^ok 1 - one that was killed is started again/m)
})
