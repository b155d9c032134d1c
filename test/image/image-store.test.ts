/** The one store of images: what stays in it, what goes, and what an earlier version has left. */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { filesBelow } from '@trusted-pods/platform/block-files.ts'
import { openImageCache } from '@trusted-pods/platform/image-cache.ts'
import { CID } from 'multiformats/cid'
import { type ImageFolder, imageFolder } from '../support/image-cli.ts'

const stateOf = ({ folder }: ImageFolder) => join(folder, 'home/.local/state/trustedpods')
const storeOf = (files: ImageFolder) => join(stateOf(files), 'images')

async function blocksOf(files: ImageFolder): Promise<string[]> {
  return (await filesBelow(join(storeOf(files), 'blocks'))).toSorted()
}

async function listed({ run }: ImageFolder) {
  return (await run('ls')) as unknown as {
    cid: string
    isKept: boolean
    leases: string[]
    hasKey: boolean
    bytes: number
  }[]
}

test('what was published stays until it is removed, and its key and its blocks go with it', async (t) => {
  const files = await imageFolder(t)
  const { folder, run, tryRun, recipient } = files
  const own = await run('publish', `oci:${folder}/plain`)
  const theirs = await run('publish', `oci:${folder}/plain`, '--recipient', recipient)
  const images = await listed(files)
  assert.deepEqual(
    images.map(({ cid, isKept, leases, hasKey }) => ({ cid, isKept, leases, hasKey })),
    [
      { cid: theirs.cid, isKept: true, leases: [], hasKey: false },
      { cid: own.cid, isKept: true, leases: [], hasKey: true },
    ],
  )
  assert.ok(images.every(({ bytes }) => bytes > 1_000_000))
  assert.equal((await run('gc')).removedBlocks, 0)
  const removed = await run('rm', `ipfs:${own.cid}`)
  assert.equal(removed.removedKey, true)
  assert.ok(Number(removed.removedBytes) > 0)
  assert.ok(Number(removed.removedBytes) < 20_000, 'the layers are those of the other image too')
  assert.deepEqual(await readdir(join(storeOf(files), 'keys')), [])
  await run('fetch', `ipfs:${theirs.cid}`, `oci:${folder}/out`)
  assert.ok(Number((await run('rm', `ipfs:${theirs.cid}`)).removedBytes) > 1_000_000)
  assert.deepEqual(await blocksOf(files), [])
  const gone = await tryRun('rm', `ipfs:${theirs.cid}`)
  assert.equal(gone.code, 2)
  assert.match(gone.stderr, /is not in the store/)
})

test('what a lease needs is not removed', async (t) => {
  const files = await imageFolder(t, ['gzip'])
  const { folder, run, tryRun } = files
  const { cid } = await run('publish', `oci:${folder}/plain`)
  const cache = await openImageCache(storeOf(files))
  await cache.pin('ab'.repeat(32), [CID.parse(String(cid)).bytes])
  const refused = await tryRun('rm', `ipfs:${cid}`)
  assert.equal(refused.code, 2)
  assert.match(refused.stderr, /is needed by lease abababababab/)
  await cache.unpin('ab'.repeat(32))
  await run('rm', `ipfs:${cid}`)
})

test('a publication that failed leaves the layers that it finished, for the next try, and nothing else', async (t) => {
  const files = await imageFolder(t, ['gzip', 'zstd'])
  const { folder, image, tryRun } = files
  const layers = JSON.parse(Buffer.from(image.manifest).toString()).layers
  await rm(join(folder, 'plain/blobs', ...layers[1].digest.split(':')))
  assert.equal((await tryRun('publish', `oci:${folder}/plain`)).code, 3)
  const [name = '', ...others] = await readdir(join(storeOf(files), 'layers'))
  const kept = JSON.parse(await readFile(join(storeOf(files), 'layers', name), 'utf8'))
  assert.deepEqual([others, (await blocksOf(files)).length], [[], kept.blocks.length])
  assert.deepEqual(await readdir(join(storeOf(files), 'runs')), [])
  await rm(join(folder, 'plain/blobs', ...layers[0].digest.split(':')))
  await rm(storeOf(files), { recursive: true })
  assert.equal((await tryRun('publish', `oci:${folder}/plain`)).code, 3)
  assert.deepEqual(await blocksOf(files), [])
})

test('the folder of an earlier version moves into the store, keys and unfinished fetches too', async (t) => {
  const files = await imageFolder(t)
  const { folder, run, recipient } = files
  const own = await run('publish', `oci:${folder}/plain`)
  const theirs = await run('publish', `oci:${folder}/plain`, '--recipient', recipient)
  const [state, store] = [stateOf(files), storeOf(files)]
  await mkdir(join(state, 'published'))
  await rename(join(store, 'blocks'), join(state, 'published/blocks'))
  await rename(join(store, 'keys'), join(state, 'published/keys'))
  await rm(store, { recursive: true })
  // Whichever of them comes first does it, and the others wait.
  const [images = []] = await Promise.all([listed(files), listed(files), listed(files)])
  assert.deepEqual(
    new Map(images.map(({ cid, isKept, hasKey }) => [cid, isKept && hasKey])),
    new Map([
      [own.cid, true],
      [theirs.cid, false],
    ]),
  )
  assert.ok(images.every(({ isKept, bytes }) => isKept && bytes > 1_000_000))
  assert.equal((await run('gc')).removedBlocks, 0)
  await run('decrypt', `ipfs:${own.cid}`, `oci:${folder}/out`)
  await run('fetch', `ipfs:${theirs.cid}`, `oci:${folder}/fetched`)
  assert.ok(!(await readdir(state)).includes('published'))
})

test('a run that was killed is tidied up after by the next; one that is alive is not', async (t) => {
  const files = await imageFolder(t, ['gzip'])
  const { folder, run } = files
  const cache = await openImageCache(storeOf(files))
  const alive = await cache.begin()
  await mkdir(join(storeOf(files), 'runs'), { recursive: true })
  // As a killed program leaves it: its mark, blocks that nothing names, a key of an image that never was.
  await writeFile(join(storeOf(files), 'runs', 'dead'), '')
  await mkdir(join(storeOf(files), 'blocks/AA'), { recursive: true })
  await writeFile(join(storeOf(files), 'blocks/AA/LEFT.data.1.part'), 'left')
  await mkdir(join(storeOf(files), 'keys'), { recursive: true })
  await writeFile(join(storeOf(files), 'keys/left.pem'), 'left', { mode: 0o600 })
  const first = await run('publish', `oci:${folder}/plain`)
  assert.ok((await blocksOf(files)).some((path) => path.endsWith('.part')))
  await alive.finish()
  const second = await run('publish', `oci:${folder}/plain`)
  assert.ok(!(await blocksOf(files)).some((path) => path.endsWith('.part')))
  assert.deepEqual(await readdir(join(storeOf(files), 'keys')), [`${first.cid}.pem`, `${second.cid}.pem`].toSorted())
  assert.deepEqual(await readdir(join(storeOf(files), 'runs')), [])
})
