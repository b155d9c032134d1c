/** `docker-daemon:` and bare names against real engines: dockerd of our own, and Podman's service. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { embeddedEngineObstacle, openEmbeddedEngine } from '@trusted-pods/platform/engine/embedded-engine.ts'
import { connectEngine, type Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { inspectImage } from '@trusted-pods/platform/engine/images.ts'
import { startPodman } from '../support/engine-process.ts'
import { type ImageFolder, imageFolder } from '../support/image-cli.ts'
import { memoryLog } from '../support/memory-log.ts'
import { skipWithout } from '../support/programs.ts'
import { startRegistry } from '../support/registry-process.ts'

const obstacle = await embeddedEngineObstacle()
if (obstacle) console.warn(`SKIPPED, nothing was proven against dockerd: ${obstacle}`)
const noRegistry = await skipWithout('docker-registry')

interface Started extends AsyncDisposable {
  readonly socket: string
}

async function startDocker(): Promise<Started> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-dockerd-'))
  const engine = await openEmbeddedEngine({ stateDir: join(folder, 'engine'), log: memoryLog() })
  return {
    socket: engine.socket,
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]()
      await rm(folder, { recursive: true })
    },
  }
}

const engines = {
  Docker: { start: startDocker, skip: obstacle ?? false },
  Podman: { start: startPodman, skip: await skipWithout('podman') },
} as const

/** The engine that commands in this folder use. */
async function useEngine({ folder }: ImageFolder, { socket }: Started): Promise<Engine> {
  const config = join(folder, 'home', '.config', 'trustedpods')
  await mkdir(config, { recursive: true })
  await writeFile(join(config, 'config.yaml'), `engine: unix://${socket}\n`)
  return connectEngine(socket)
}

const diffIdsOf = async (engine: Engine, name: string) => (await inspectImage(engine, name))?.diffIds

for (const [name, { start, skip }] of Object.entries(engines)) {
  test(`docker-daemon: an image goes into ${name} and out of it, the same; no tag but the named one is touched`, {
    skip,
  }, async (t) => {
    await using started = await start()
    const files = await imageFolder(t, ['gzip', 'none'])
    const engine = await useEngine(files, started)
    const { folder, run, tryRun, key, recipient } = files
    await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/enc`, '--recipient', recipient)
    await run('decrypt', `oci:${folder}/enc`, 'docker-daemon:localhost/acme/web:1', '--key', key)
    const before = await inspectImage(engine, 'localhost/acme/web:1')
    assert.equal(before?.diffIds.length, 3)

    await run('encrypt', 'docker-daemon:localhost/acme/web:1', `oci:${folder}/enc2`, '--recipient', recipient)
    const again = await tryRun('decrypt', `oci:${folder}/enc2`, 'docker-daemon:localhost/acme/web:1', '--key', key)
    assert.equal(again.code, 2)
    assert.match(again.stderr, /docker-daemon:localhost\/acme\/web:1 is there already: --force/)
    await run('decrypt', `oci:${folder}/enc2`, 'docker-daemon:localhost/acme/web:2', '--key', key)
    assert.deepEqual(await diffIdsOf(engine, 'localhost/acme/web:2'), before?.diffIds)
    const after = await inspectImage(engine, 'localhost/acme/web:1')
    assert.deepEqual([after?.id, after?.tags.includes('localhost/acme/web:1')], [before?.id, true])
  })

  test(`a bare name is ${name}'s image where it has one, else the registry's`, {
    skip: skip || noRegistry,
  }, async (t) => {
    await using started = await start()
    await using registry = await startRegistry()
    const files = await imageFolder(t, ['gzip'])
    await useEngine(files, started)
    const { folder, run, tryRun, key, recipient } = files
    const image = `${registry.host}/acme/web:1`
    await run('encrypt', `oci:${folder}/plain`, `docker://${image}`, '--recipient', recipient)
    assert.equal((await run('inspect', image)).name, `docker://${image}`)
    await run('decrypt', `docker://${image}`, `docker-daemon:${image}`, '--key', key)
    const seen = await run('inspect', image)
    assert.deepEqual([seen.name, seen.encrypted], [image, 'none'])
    const { code, stderr } = await tryRun('inspect', `${registry.host}/acme/other`)
    assert.equal(code, 3)
    assert.match(
      JSON.parse(stderr).error.message,
      /has no image .*other; the registry .* has no image acme\/other:latest/,
    )
  })
}

test('docker-daemon: no engine is told as such, and other places need none', async (t) => {
  const files = await imageFolder(t, ['gzip'])
  const { folder, run, tryRun } = files
  const config = join(folder, 'home', '.config', 'trustedpods')
  await mkdir(config, { recursive: true })
  await writeFile(join(config, 'config.yaml'), 'engine: unix:///nowhere/docker.sock\n')
  const { code, stderr } = await tryRun('inspect', 'docker-daemon:nginx')
  assert.equal(code, 2)
  assert.equal(JSON.parse(stderr).error.code, 'PLATFORM_ENGINE_MISSING')
  await run('inspect', `oci:${folder}/plain`)
})
