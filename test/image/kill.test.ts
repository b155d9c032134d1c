/** `kill -9` of the image commands at many points: the next run leaves no second copy and no folder, and a run that is alive is let be. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { filesBelow } from '@trusted-pods/platform/block-files.ts'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { openScratch } from '@trusted-pods/platform/images/scratch-folder.ts'
import { readBlock } from '@trusted-pods/protocol/image/block.ts'
import { CID } from 'multiformats/cid'
import { registryImage, startHttp } from '../support/hostile-registry.ts'
import { type ImageFolder, imageFolder, writePlainLayout } from '../support/image-cli.ts'
import { randomTar } from '../support/image-fixture.ts'

const MAIN = join(import.meta.dirname, '../../packages/cli/src/main.ts')
const MIB = 1024 * 1024

interface Place extends ImageFolder {
  /** Where the commands put what is not whole yet. */
  readonly temp: string
  readonly blocks: string
}

/** `oci:<folder>/large:v1`: enough to be killed in. */
async function place(t: TestContext): Promise<Place> {
  const files = await imageFolder(t, ['gzip'])
  const temp = join(files.folder, 'temp')
  await mkdir(temp)
  const layers = await Promise.all(
    [1, 2, 3].map(async (i) => ({ tar: await randomTar(8 * MIB, `f${i}`), compression: 'gzip' as const })),
  )
  await writePlainLayout(join(files.folder, 'large'), registryImage(layers))
  return { ...files, temp, blocks: join(files.folder, 'home/.local/state/trustedpods/images/blocks') }
}

function start({ folder, temp }: Place, args: readonly string[]) {
  const env = { HOME: join(folder, 'home'), PATH: process.env.PATH, TMPDIR: temp }
  const flags = ['--conditions=@trusted-pods/source', '--disable-warning=ExperimentalWarning']
  return spawn(process.execPath, [...flags, MAIN, 'image', ...args, '-o', 'json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** @returns whether it was killed before it ended by itself. */
async function killWhen(files: Place, args: readonly string[], isReached: () => boolean): Promise<boolean> {
  const child = start(files, args)
  const ended = once(child, 'exit')
  while (child.exitCode === null && !isReached()) await sleep(1)
  child.kill('SIGKILL')
  const [, signal] = await ended
  return signal === 'SIGKILL'
}

async function finish(files: Place, args: readonly string[]): Promise<Record<string, unknown>> {
  const child = start(files, args)
  let said = ''
  for await (const chunk of child.stdout) said += chunk
  if (child.exitCode === null) await once(child, 'exit')
  assert.equal(child.exitCode, 0)
  return JSON.parse(said)
}

const entries = (folder: string) => (existsSync(folder) ? readdirSync(folder) : [])
const countBelow = (folder: string) =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).length
    : 0
const hidden = (folder: string) => entries(folder).filter((name) => name.startsWith('.trustedpods-'))
/** Files that stages below `folder` hold by now. */
const staged = (folder: string) =>
  hidden(folder)
    .filter((name) => !name.endsWith('.lock'))
    .reduce((sum, name) => sum + countBelow(join(folder, name)), 0)

test('publish, killed while it begins, stores and ends, leaves nothing elsewhere and no second copy', {
  timeout: 240_000,
}, async (t) => {
  const files = await place(t)
  const { folder, temp, blocks, run } = files
  const args = ['publish', `oci:${folder}/large`, '--recipient', files.recipient]
  const points = [
    () => entries(join(blocks, '../runs')).length > 0,
    () => countBelow(blocks) > 0,
    () => countBelow(blocks) > 4,
    () => countBelow(blocks) > 8,
    () => countBelow(blocks) > 16,
    () => countBelow(join(blocks, '../layers')) > 2,
    () => entries(join(blocks, '../trees')).length > 0,
  ]
  let killed = 0
  for (const point of points) if (await killWhen(files, args, point)) killed++
  assert.ok(killed >= 4, `${killed} of ${points.length} were killed in time`)
  await finish(files, args)
  assert.deepEqual(entries(temp), [])
  const trees = (await run('ls')) as unknown as unknown[]
  const before = (await filesBelow(blocks)).length
  // 24 MiB in blocks of 1 MiB, once: layers that a killed run has finished are used again. Nodes and documents for each that is listed.
  assert.ok(before <= 32 + trees.length * 12, `${before} files for ${trees.length} images`)
  assert.equal((await run('gc')).removedBlocks, 0)
})

test('encrypt, killed, into a new folder, a layout that is there, and an archive', { timeout: 240_000 }, async (t) => {
  const files = await place(t)
  const { folder, recipient, run } = files
  const shared = join(folder, 'plain')
  const old = (await readdir(join(shared, 'blobs/sha256'))).length
  const oldIndex = await readFile(join(shared, 'index.json'), 'utf8')
  let killed = 0
  const kill = async (destination: string, point: () => boolean) => {
    const args = ['encrypt', `oci:${folder}/large`, destination, '--recipient', recipient]
    if (await killWhen(files, args, point)) killed++
  }
  await kill(`oci:${folder}/new`, () => staged(folder) > 1)
  await kill(`oci:${folder}/new`, () => staged(folder) > 4)
  await kill(`oci-archive:${folder}/new.tar`, () => staged(folder) > 4)
  await kill(`oci-archive:${folder}/new.tar`, () => hidden(folder).length > 2)
  // Between the first blob among those of others and the index that names it.
  const isAmongOthers = () => entries(join(shared, 'blobs/sha256')).length > old
  for (let i = 0; i < 4; i++) await kill(`oci:${shared}:more`, isAmongOthers)
  assert.ok(killed >= 5, `${killed} were killed in time`)
  const isWhole = (await readFile(join(shared, 'index.json'), 'utf8')) !== oldIndex
  await run('encrypt', `oci:${folder}/large`, `oci:${shared}:more`, '--recipient', recipient, '--force')
  await run('encrypt', `oci:${folder}/large`, `oci:${folder}/new`, '--recipient', recipient, '--force')
  assert.deepEqual(hidden(folder), [])
  // Three layers, a config that may be shared, a manifest; once more where one was whole before it was killed, and is now replaced.
  const now = (await readdir(join(shared, 'blobs/sha256'))).length
  assert.ok(now <= old + (isWhole ? 10 : 5), `${old} → ${now}`)
  await run('inspect', `oci:${shared}:more`)
  await run('inspect', `oci:${shared}:v1`)
})

test('fetch, killed, goes on with the blocks that it has', { timeout: 240_000 }, async (t) => {
  const [here, there] = [await place(t), await place(t)]
  const { cid } = await here.run('publish', `oci:${here.folder}/large`)
  const blockstore = await openFileBlockstore(here.blocks)
  const total = (await filesBelow(here.blocks)).length
  let asked = 0
  await using gateway = await startHttp(async (request, response) => {
    asked++
    const block = await readBlock(blockstore, CID.parse(/^\/ipfs\/([^?]+)/.exec(request.url ?? '')?.[1] ?? ''))
    response.end(block)
  })
  const args = ['fetch', `ipfs:${cid}`, `oci-archive:${there.folder}/got.tar`, '--from', `http://${gateway.host}`]
  let killed = 0
  for (const share of [0.3, 0.7, 1])
    if (await killWhen(there, args, () => countBelow(there.blocks) >= share * total)) killed++
  assert.ok(killed >= 2, `${killed} were killed in time`)
  await finish(there, args)
  // Each run can lose what was under way at once.
  assert.ok(asked <= total + killed * 12, `${asked} of ${total}`)
  assert.deepEqual([hidden(there.folder), entries(there.temp)], [[], []])
  assert.equal((await filesBelow(there.blocks)).length, total)
  assert.equal((await there.run('gc')).removedBlocks, 0)
})

test('a stage that is in use stays when another is made beside it', async (t) => {
  const { folder } = await imageFolder(t, ['gzip'])
  await using alive = await openScratch(folder)
  {
    await using other = await openScratch(folder)
    assert.equal(hidden(folder).length, 4)
    assert.ok(existsSync(other.folder))
  }
  assert.ok(existsSync(alive.folder))
  assert.equal(hidden(folder).length, 2)
})
