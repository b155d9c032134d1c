/** What killed programs leave beside the places that they wrote to, and what of it is taken away. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { mergeBlobs, undoMerge } from './merged-blobs.ts'
import { openScratch } from './scratch-folder.ts'

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-scratch-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

test('a folder whose owner is gone goes when the next is made; one without a lock, and other files, stay', async (t) => {
  const parent = await temporary(t)
  await mkdir(join(parent, '.trustedpods-dead/blobs'), { recursive: true })
  await writeFile(join(parent, '.trustedpods-dead.lock'), '')
  await mkdir(join(parent, '.trustedpods-unknown'))
  await mkdir(join(parent, '.trustedpods-folder.lock'))
  await writeFile(join(parent, 'mine'), '')
  {
    await using scratch = await openScratch(parent)
    assert.equal((await stat(scratch.folder)).mode & 0o777, 0o700)
    assert.ok(!(await readdir(parent)).includes('.trustedpods-dead'))
  }
  assert.deepEqual((await readdir(parent)).toSorted(), ['.trustedpods-folder.lock', '.trustedpods-unknown', 'mine'])
})

test('ten that are made at once leave one another alone', async (t) => {
  const parent = await temporary(t)
  const made = await Promise.all(Array.from({ length: 10 }, () => openScratch(parent)))
  for (const { folder } of made) assert.ok((await stat(folder)).isDirectory())
  for (const scratch of made) await scratch[Symbol.asyncDispose]()
  assert.deepEqual(await readdir(parent), [])
})

const NAMES = ['a', 'b', 'c'].map((letter) => letter.repeat(64))

/** A stage with three blobs, the first of which the layout has already, and has named. */
async function merging(t: TestContext, named: readonly number[] = [0]) {
  const parent = await temporary(t)
  const [stage, layout] = [join(parent, 'stage'), join(parent, 'layout')]
  for (const folder of [stage, layout]) await mkdir(join(folder, 'blobs/sha256'), { recursive: true })
  for (const name of NAMES) await writeFile(join(stage, 'blobs/sha256', name), name)
  await writeFile(join(layout, 'blobs/sha256', NAMES[0] ?? ''), 'there before')
  const manifests = named.map((i) => ({ mediaType: 'x/y', digest: `sha256:${NAMES[i]}`, size: 64 }))
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  await mergeBlobs(stage, layout)
  return {
    stage,
    layout,
    left: async () => (await readdir(join(layout, 'blobs/sha256'))).map((name) => name[0]).join(''),
  }
}

test('blobs that were moved and never named are taken out again, those of others not', async (t) => {
  const { stage, left } = await merging(t)
  assert.equal(await left(), 'abc')
  await undoMerge(stage)
  assert.equal(await left(), 'a')
})

test('what the index names by now stays, and what somebody has replaced meanwhile', async (t) => {
  const { stage, layout, left } = await merging(t, [0, 1])
  const theirs = join(layout, 'blobs/sha256', NAMES[2] ?? '')
  await writeFile(`${theirs}.new`, 'theirs')
  await rename(`${theirs}.new`, theirs)
  await undoMerge(stage)
  assert.equal(await left(), 'abc')
})

test('nothing is taken out of a layout that cannot be read', async (t) => {
  const { stage, layout, left } = await merging(t)
  await writeFile(join(layout, 'index.json'), '{')
  await undoMerge(stage)
  assert.equal(await left(), 'abc')
})
