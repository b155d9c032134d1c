/** What a second publication reuses, what it must not, and what is collected. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type ImageCache, openImageCache } from '@trusted-pods/platform/image-cache.ts'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { readTreeManifest } from '@trusted-pods/protocol/image/image-tree.ts'
import { parseImageManifest } from '@trusted-pods/protocol/image/oci-documents.ts'
import { importImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { fromAnnotations } from '@trusted-pods/protocol/image/ocicrypt/layer-annotations.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { type PublishedImage, publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { createImagePublisher } from '@trusted-pods/publisher/publish-images.ts'
import { CID } from 'multiformats/cid'
import { collect, imageSource, randomTar } from '../support/image-fixture.ts'

const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }
const DAY_MS = 24 * 3600_000

async function withFolder(run: (folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-cache-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const layersOf = async ({ blockstore }: ImageCache, { cid }: PublishedImage) =>
  parseImageManifest((await readTreeManifest(blockstore, CID.decode(cid))).bytes).layers

async function tarsOf({ blockstore }: ImageCache, { cid, privateKey }: PublishedImage): Promise<Buffer[]> {
  const image = await openImage(blockstore, { cid, privateKey, crypto, limits: LIMITS })
  return Promise.all(image.layers.map((layer) => collect(layer.open())))
}

async function blockFiles(folder: string): Promise<string[]> {
  const entries = await readdir(join(folder, 'blocks'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
}

/** Makes every file look as if nobody had touched it for so long. */
async function age(folder: string, ms: number) {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const then = new Date(Date.now() - ms)
    if (entry.isFile()) await utimes(path, then, then)
  }
}

test('an unchanged layer keeps its ciphertext, in another program too; only the changed one is encrypted', () =>
  withFolder(async (folder) => {
    const [base, first, second] = [await randomTar(2_500_000), await randomTar(1000), await randomTar(2000)]
    const cache = await openImageCache(folder)
    const publish = (tar: Buffer, kept: ImageCache) =>
      publishImage(imageSource([{ tar: base, compression: 'gzip' }, { tar }]), {
        blockstore: kept.blockstore,
        crypto,
        cache: kept,
      })
    const one = await publish(first, cache)
    const before = (await blockFiles(folder)).length
    const again = await openImageCache(folder)
    const two = await publish(second, again)
    const [layersOne, layersTwo] = [await layersOf(cache, one), await layersOf(again, two)]
    assert.equal(layersTwo[0]?.digest, layersOne[0]?.digest)
    assert.notEqual(layersTwo[1]?.digest, layersOne[1]?.digest)
    // The changed layer, manifest, index, and five directories and their like: nothing of the base.
    assert.ok((await blockFiles(folder)).length - before <= 8)
    assert.deepEqual(await tarsOf(again, two), [base, second])
    assert.deepEqual(await tarsOf(cache, one), [base, first])
  }))

test('each publication has a key of its own, which opens no other and is not the cache’s', () =>
  withFolder(async (folder) => {
    const cache = await openImageCache(folder)
    const source = imageSource([{ tar: await randomTar(1000) }])
    const options = { blockstore: cache.blockstore, crypto, cache }
    const [one, two] = [await publishImage(source, options), await publishImage(source, options)]
    assert.notDeepEqual(one.privateKey, two.privateKey)
    const [layerOne, layerTwo] = [(await layersOf(cache, one))[0], (await layersOf(cache, two))[0]]
    assert.equal(layerOne?.digest, layerTwo?.digest)
    for (const wrong of [one.privateKey, cache.privateKey])
      await assert.rejects(fromAnnotations(layerTwo?.annotations ?? {}, importImageKey(wrong)), /no JWE packet opens/)
  }))

test('an image that is known by its content is published again without its source', () =>
  withFolder(async (folder) => {
    const cache = await openImageCache(folder)
    const tars = [await randomTar(1_500_000), await randomTar(10)]
    let opened = 0
    const publisher = () =>
      createImagePublisher({
        blockstore: cache.blockstore,
        crypto,
        cache,
        images: cache,
        identify: async () => 'engine sha256:1',
        openSource: async () => {
          opened++
          return imageSource(tars.map((tar) => ({ tar })))
        },
      })
    await publisher().publish('app', {})
    const again = await publisher().publish('app', {})
    assert.equal(opened, 1)
    assert.deepEqual(await tarsOf(cache, again), tars)

    // One block lost: the source is opened for that layer alone.
    const layer =
      (await cache.find(imageSource([{ tar: tars[1] ?? assert.fail() }]).layers[0]?.diffId ?? '')) ?? assert.fail()
    await cache.blockstore.delete(CID.parse(layer.blocks[0] ?? ''))
    const third = await publisher().publish('app', {})
    assert.equal(opened, 2)
    assert.deepEqual(await tarsOf(cache, third), tars)
  }))

test('a layer that is too old, damaged in its file, or of another cache’s key is encrypted anew', () =>
  withFolder(async (folder) => {
    let now = Date.now()
    const cache = await openImageCache(folder, { clock: () => now })
    const source = imageSource([{ tar: await randomTar(1000) }])
    const publish = async (kept: ImageCache) =>
      (await layersOf(kept, await publishImage(source, { blockstore: kept.blockstore, crypto, cache: kept })))[0]
        ?.digest
    const seen = new Set([await publish(cache), await publish(cache)])
    assert.equal(seen.size, 1)
    now += 31 * DAY_MS
    seen.add(await publish(cache))
    assert.equal(seen.size, 2)
    const [file = ''] = await readdir(join(folder, 'layers'))
    await truncate(join(folder, 'layers', file), 100)
    seen.add(await publish(cache))
    assert.equal(seen.size, 3)
    await rm(join(folder, 'key'))
    seen.add(await publish(await openImageCache(folder, { clock: () => now })))
    assert.equal(seen.size, 4)
  }))

test('nothing that the cache writes can be read by others, and no key lies in the clear', () =>
  withFolder(async (folder) => {
    const cache = await openImageCache(folder)
    const published = await publishImage(imageSource([{ tar: await randomTar(1000) }]), {
      blockstore: cache.blockstore,
      crypto,
      cache,
    })
    const { privateOptions } = await fromAnnotations(
      (await layersOf(cache, published))[0]?.annotations ?? {},
      importImageKey(published.privateKey),
    )
    const secret = Buffer.from(privateOptions.symmetricKey)
    const [file = ''] = await readdir(join(folder, 'layers'))
    const path = join(folder, 'layers', file)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.ok(!(await readFile(path, 'utf8')).includes(secret.toString('base64')))
    assert.equal((await stat(join(folder, 'key'))).mode & 0o777, 0o600)
  }))

test('a publication that was cut short leaves nothing that is reused, and ten at once agree', () =>
  withFolder(async (folder) => {
    const cache = await openImageCache(folder)
    const tar = await randomTar(3_000_000)
    const cut = new AbortController()
    const cutShort = publishImage(imageSource([{ tar }]), {
      blockstore: cache.blockstore,
      crypto,
      cache,
      signal: cut.signal,
      onProgress: () => cut.abort(new Error('cut')),
    })
    await assert.rejects(cutShort, /cut/)
    assert.deepEqual(await readdir(join(folder, 'layers')).catch(() => []), [])
    const published = await Promise.all(
      Array.from({ length: 10 }, async () =>
        publishImage(imageSource([{ tar }]), {
          blockstore: cache.blockstore,
          crypto,
          cache: await openImageCache(folder),
        }),
      ),
    )
    for (const each of published) assert.deepEqual(await tarsOf(cache, each), [tar])
  }))

test('collected: what no layer and no pinned tree has, once it is a day old; never what is pinned or fresh', () =>
  withFolder(async (folder) => {
    const cache = await openImageCache(folder, { maxBytes: 1 })
    const publish = async (kept: ImageCache | undefined) =>
      publishImage(imageSource([{ tar: await randomTar(1_200_000) }]), {
        blockstore: cache.blockstore,
        crypto,
        ...(kept && { cache: kept }),
      })
    const [pinned, loose] = [await publish(cache), await publish(undefined)]
    await cache.pin('lease-1', [pinned.cid])
    const writing = await cache.begin()
    assert.deepEqual(await cache.collect(), { removedBlocks: 0, removedBytes: 0 })
    await writing.finish()
    await age(folder, 2 * DAY_MS)
    const run = await cache.begin()
    const fresh = await publish(undefined)
    const { removedBlocks } = await cache.collect()
    assert.ok(removedBlocks >= 8, `${removedBlocks}`)
    assert.equal((await tarsOf(cache, pinned)).length, 1)
    assert.equal((await tarsOf(cache, fresh)).length, 1)
    await assert.rejects(tarsOf(cache, loose), /is missing/)
    assert.deepEqual(await cache.pins(), ['lease-1'])

    // Nobody writes any more: what has no name needs no age.
    await run.finish()
    await cache.collect()
    await assert.rejects(tarsOf(cache, fresh), /is missing/)
    await cache.unpin('lease-1')
    await age(folder, 2 * DAY_MS)
    await cache.collect()
    assert.deepEqual(await blockFiles(folder), [])
  }))

test('layers in use stay within the bytes that are allowed, the latest used first', () =>
  withFolder(async (folder) => {
    const cache = await openImageCache(folder, { maxBytes: 1_500_000 })
    const tars = [await randomTar(1_000_000), await randomTar(1_000_000)]
    const options = { blockstore: cache.blockstore, crypto, cache }
    for (const tar of tars) await publishImage(imageSource([{ tar }]), options)
    await age(folder, 3 * DAY_MS)
    const diffIdOf = (tar: Buffer | undefined) => imageSource([{ tar: tar ?? assert.fail() }]).layers[0]?.diffId ?? ''
    assert.ok(await cache.find(diffIdOf(tars[0])))
    await cache.collect()
    assert.ok(await cache.find(diffIdOf(tars[0])))
    assert.equal(await cache.find(diffIdOf(tars[1])), undefined)
  }))

test('parts of blocks that a killed program left go too', () =>
  withFolder(async (folder) => {
    const cache = await openImageCache(folder)
    await publishImage(imageSource([{ tar: await randomTar(10) }]), { blockstore: cache.blockstore, crypto, cache })
    const [file = ''] = await blockFiles(folder)
    await writeFile(`${file}.1234.part`, randomBytes(10))
    await age(join(folder, 'blocks'), 2 * DAY_MS)
    await cache.collect()
    assert.ok(!(await blockFiles(folder)).some((path) => path.endsWith('.part')))
  }))
