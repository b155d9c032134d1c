/** What a published image looks like on the blockstore, and what is not published. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { ImageSource } from '@trusted-pods/protocol/image/image-source.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { type PublishProgress, publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { writeFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { exporter } from 'ipfs-unixfs-exporter'
import { type ImportCandidate, importByteStream, importer } from 'ipfs-unixfs-importer'
import { CID } from 'multiformats/cid'
import { collect, encodeConfig, imageSource, randomTar, sha256Text } from '../support/image-fixture.ts'

const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }

/** Read by the library's own exporter: a second opinion on what we wrote. */
function readerOf(blockstore: MemoryBlockstore, cid: Uint8Array) {
  const root = CID.decode(cid)
  return {
    async file(path: string): Promise<Buffer> {
      const entry = await exporter(`${root}/${path}`, blockstore)
      return 'content' in entry
        ? collect(entry.content() as AsyncIterable<Uint8Array>)
        : assert.fail(`${path} is no file`)
    },
    async names(path: string): Promise<string[]> {
      const entry = await exporter(`${root}/${path}`, blockstore)
      if (entry.type !== 'directory') assert.fail(`${path} is no directory`)
      const names: string[] = []
      for await (const { name } of entry.entries()) names.push(name)
      return names
    },
    cidOf: async (path: string) => (await exporter(`${root}/${path}`, blockstore)).cid.toString(),
  }
}

async function publishFixture() {
  const tars = [await randomTar(2_500_000), await randomTar(500), await randomTar(40_000)]
  const [a, b, c] = tars as [Buffer, Buffer, Buffer]
  const source = imageSource([{ tar: a }, { tar: b, compression: 'gzip' }, { tar: c, compression: 'zstd' }])
  const blockstore = new MemoryBlockstore()
  const progress: PublishProgress[] = []
  const published = await publishImage(source, { blockstore, crypto, onProgress: (each) => progress.push(each) })
  return { source, tars, blockstore, published, progress, tree: readerOf(blockstore, published.cid) }
}

test('the tree is an OCI layout and an IPDR view over the same blocks', async () => {
  const { tree, source, published } = await publishFixture()
  assert.deepEqual(JSON.parse((await tree.file('oci-layout')).toString()), { imageLayoutVersion: '1.0.0' })
  const index = JSON.parse((await tree.file('index.json')).toString())
  assert.equal(index.manifests.length, 1)
  const { digest, size, mediaType, annotations } = index.manifests[0]
  assert.equal(mediaType, 'application/vnd.oci.image.manifest.v1+json')
  assert.deepEqual(annotations, { 'org.opencontainers.image.ref.name': 'latest' })
  const manifestBytes = await tree.file(`blobs/sha256/${digest.slice(7)}`)
  assert.equal(sha256Text(manifestBytes), digest)
  assert.equal(manifestBytes.length, size)

  const manifest = JSON.parse(manifestBytes.toString())
  assert.equal(manifest.mediaType, mediaType)
  assert.deepEqual(
    manifest.layers.map((layer: { mediaType: string }) => layer.mediaType),
    ['zstd', 'gzip', 'zstd'].map((each) => `application/vnd.oci.image.layer.v1.tar+${each}+encrypted`),
  )
  const blobs = [manifest.config, ...manifest.layers]
  assert.deepEqual(await tree.file(`blobs/sha256/${manifest.config.digest.slice(7)}`), Buffer.from(source.config))
  for (const blob of blobs) {
    const bytes = await tree.file(`blobs/sha256/${blob.digest.slice(7)}`)
    assert.equal(sha256Text(bytes), blob.digest)
    assert.equal(bytes.length, blob.size)
    assert.equal(await tree.cidOf(`blobs/${blob.digest}`), await tree.cidOf(`blobs/sha256/${blob.digest.slice(7)}`))
  }
  assert.deepEqual(await tree.names('manifests'), ['latest', digest].sort())
  assert.equal(await tree.cidOf('manifests/latest'), await tree.cidOf(`blobs/sha256/${digest.slice(7)}`))
  assert.deepEqual(await tree.names(''), ['blobs', 'index.json', 'manifests', 'oci-layout'])
  assert.equal(published.layers, 3)
  assert.equal(
    published.bytes,
    manifest.layers.reduce((sum: number, layer: { size: number }) => sum + layer.size, 0),
  )
})

test('its CID is the one that ipfs-unixfs-importer gives the same files under unixfs-v1-2025', async () => {
  const { tree, published } = await publishFixture()
  const paths = ['oci-layout', 'index.json']
  for (const name of await tree.names('manifests')) paths.push(`manifests/${name}`)
  for (const name of await tree.names('blobs/sha256')) paths.push(`blobs/sha256/${name}`)
  for (const name of await tree.names('blobs')) if (name !== 'sha256') paths.push(`blobs/${name}`)
  const candidates: ImportCandidate[] = []
  for (const path of paths) candidates.push({ path: `root/${path}`, content: await tree.file(path) })
  let last: CID | undefined
  for await (const { cid } of importer(candidates, new MemoryBlockstore(), { profile: 'unixfs-v1-2025' })) last = cid
  assert.equal(last?.toString(), CID.decode(published.cid).toString())
})

test('nothing of the plaintext is in any block, and no two publications share a layer or a key', async () => {
  const { source, tars, blockstore, published } = await publishFixture()
  const again = await publishImage(source, { blockstore, crypto })
  assert.notDeepEqual(again.cid, published.cid)
  assert.notDeepEqual(again.privateKey, published.privateKey)
  const needles = tars.map((tar) => tar.subarray(512, 544))
  for await (const { bytes } of blockstore.getAll()) {
    const block = await collect(
      (async function* () {
        yield* bytes
      })(),
    )
    for (const needle of needles) assert.equal(block.indexOf(needle), -1)
  }
})

test('compressed layers keep their bytes, plain ones are compressed by zstd: all open to the same tars', async () => {
  const { tars, blockstore, published } = await publishFixture()
  const { cid, privateKey } = published
  const image = await openImage(blockstore, { cid, privateKey, crypto, limits: LIMITS })
  for (const [i, layer] of image.layers.entries())
    assert.ok((await collect(layer.open())).equals(tars[i] ?? assert.fail()))
})

test('progress counts layers and encrypted bytes up to the total', async () => {
  const { progress, published } = await publishFixture()
  assert.deepEqual(progress.at(-1), { layer: 2, layers: 3, bytes: published.bytes })
  assert.deepEqual(new Set(progress.map(({ layer }) => layer)), new Set([0, 1, 2]))
  const bytes = progress.map((each) => each.bytes)
  assert.deepEqual(
    bytes,
    bytes.toSorted((a, b) => a - b),
  )
})

test('Docker media types become OCI ones', async () => {
  const tar = await randomTar(1000)
  const plain = imageSource([{ tar, compression: 'gzip' }])
  const mediaType = 'application/vnd.docker.image.rootfs.diff.tar.gzip'
  const source = { ...plain, layers: plain.layers.map((layer) => ({ ...layer, mediaType })) }
  const blockstore = new MemoryBlockstore()
  const { cid, privateKey } = await publishImage(source, { blockstore, crypto })
  const manifest = JSON.parse((await readerOf(blockstore, cid).file('manifests/latest')).toString())
  assert.equal(manifest.layers[0].mediaType, 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted')
  const image = await openImage(blockstore, { cid, privateKey, crypto, limits: LIMITS })
  assert.ok((await collect(image.layers[0]?.open() ?? assert.fail())).equals(tar))
})

const other = sha256Text(Buffer.from('other'))
const invalid: Record<string, { change(source: ImageSource): Partial<ImageSource>; message: RegExp }> = {
  'a layer that is not what its diff_id says': {
    change: ({ layers }) => ({
      config: encodeConfig([other]),
      layers: layers.map((layer) => ({ ...layer, diffId: other })),
    }),
    message: /a layer's tar is sha256:[0-9a-f]{64}, its diff_id says/,
  },
  'a config with other diff_ids': {
    change: () => ({ config: encodeConfig([other]) }),
    message: /layer 0 is .*, the config says/,
  },
  'a config with more diff_ids': {
    change: ({ layers }) => ({ config: encodeConfig([layers[0]?.diffId ?? '', other]) }),
    message: /1 layers, its config 2 diff_ids/,
  },
  'a config that is not JSON': { change: () => ({ config: Buffer.from('{') }), message: /image config: not JSON/ },
  'an image without layers': { change: () => ({ config: encodeConfig([]), layers: [] }), message: /0 layers/ },
  'a layer that is encrypted already': {
    change: ({ layers }) => ({
      layers: layers.map((layer) => ({ ...layer, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted' })),
    }),
    message: /media type .*\+encrypted, wanted a plain/,
  },
}

for (const [name, { change, message }] of Object.entries(invalid)) {
  test(`not published: ${name}`, async () => {
    const source = imageSource([{ tar: await randomTar(1000) }])
    const changed = { ...source, ...change(source) }
    await assert.rejects(publishImage(changed, { blockstore: new MemoryBlockstore(), crypto }), (error: unknown) => {
      assert.ok(error instanceof TrustedPodsError, String(error))
      assert.equal(error.code, 'MANIFEST_IMAGE_INVALID')
      assert.match(error.message, message)
      return true
    })
  })
}

test('an aborted signal ends the publication with its reason, and a failing source with its error', async () => {
  const source = imageSource([{ tar: await randomTar(1_000_000) }])
  const stop = new AbortController()
  const reason = new Error('enough')
  const options = { blockstore: new MemoryBlockstore(), crypto }
  const onProgress = () => stop.abort(reason)
  await assert.rejects(publishImage(source, { ...options, signal: stop.signal, onProgress }), reason)
  const failure = new Error('disk on fire')
  const layers = source.layers.map((layer) => ({
    ...layer,
    async *open() {
      yield new Uint8Array(512)
      throw failure
    },
  }))
  await assert.rejects(publishImage({ ...source, layers }, options), failure)
})

test('a tar that compresses is sent smaller', async () => {
  const tar = Buffer.alloc(3 * 1024 * 1024)
  const blockstore = new MemoryBlockstore()
  const { bytes } = await publishImage(imageSource([{ tar }]), { blockstore, crypto })
  assert.ok(bytes < tar.length / 100, `${bytes}`)
})

test('a layer of 64 MiB is never ahead of the store by more than a few blocks', async () => {
  const [chunk, count] = [randomBytes(1024 * 1024), 64]
  // As gzip begins: that much is looked at in the end.
  chunk.set([0x1f, 0x8b])
  const diffId = sha256Text(chunk)
  let [pulled, stored, ahead] = [0, 0, 0]
  const blockstore = new MemoryBlockstore()
  // Stored bytes are counted and dropped; only what is read back at the end is kept: the layer's first block, and what is small.
  const counting = Object.assign(Object.create(blockstore) as MemoryBlockstore, {
    async put(cid: CID, bytes: Uint8Array) {
      await new Promise((resolve) => setImmediate(resolve))
      stored += bytes.length
      return bytes.length < chunk.length || stored === bytes.length ? blockstore.put(cid, bytes) : cid
    },
  })
  const layer = {
    // Compressed layers pass as they are.
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    diffId,
    async *open() {
      for (let i = 0; i < count; i++) {
        pulled += chunk.length
        ahead = Math.max(ahead, pulled - stored)
        yield chunk
      }
    },
  }
  const source = { ...imageSource([]), config: encodeConfig([diffId]), layers: [layer] }
  const { bytes } = await publishImage(source, { blockstore: counting, crypto })
  assert.equal(bytes, count * chunk.length)
  assert.ok(ahead <= 10 * chunk.length, `${ahead} bytes ahead`)
})

test('files of every size up to two rows of links get the CID that ipfs-unixfs-importer gives them', async () => {
  const mib = 1024 * 1024
  const chunk = randomBytes(mib)
  for (const size of [0, 1, mib - 1, mib, mib + 1, 5 * mib, 1024 * mib, 1024 * mib + 1, 1026 * mib]) {
    const content = async function* () {
      for (let left = size; left > 0; left -= mib) yield chunk.subarray(0, Math.min(left, mib))
    }
    const store = new MemoryBlockstore()
    const { cid, size: treeBytes } = await writeFile(store, content())
    const reference = await importByteStream(content(), new MemoryBlockstore(), { profile: 'unixfs-v1-2025' })
    assert.equal(cid.toString(), reference.cid.toString(), `${size} bytes`)
    assert.equal(BigInt(treeBytes), reference.size)
  }
})

test('a store that fails ends the writing with its error, after what was under way', async () => {
  let puts = 0
  const store = new MemoryBlockstore()
  const failing = Object.assign(Object.create(store), {
    put: async (cid: CID, block: Uint8Array) => {
      puts++
      if (puts === 3) throw new Error('the disk is full')
      return store.put(cid, block)
    },
  })
  await assert.rejects(writeFile(failing, randomBytes(8 * 1024 * 1024)), /the disk is full/)
})
