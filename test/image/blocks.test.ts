/** Pulling a tree over a real connection: whole, resumed, repaired, bounded. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { fetchTree, serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { type TreeNode, writeDirectory, writeFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import { BLOCKS } from '@trusted-pods/protocol/wire/protocols.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { backwards, blocksOf, fails, MAX_BYTES, publishBlocks, totalBytes } from '../support/block-transfer.ts'
import { collect } from '../support/image-fixture.ts'
import { startNodePair } from '../support/nodes.ts'

test('a whole image is pulled over a connection and opens from the store it was pulled into', async () => {
  await using pair = await startNodePair()
  const { blockstore, tars, published } = await publishBlocks()
  await serveBlocks(pair.publisher, { blockstore })
  const folder = await mkdtemp(join(tmpdir(), 'tpod-blocks-'))
  try {
    const store = await openFileBlockstore(folder)
    const progress: number[] = []
    const onProgress = (bytes: number) => progress.push(bytes)
    const { bytes } = await fetchTree(await backwards(pair), {
      cid: published.cid,
      blockstore: store,
      maxBytes: MAX_BYTES,
      onProgress,
    })
    assert.equal(bytes, totalBytes(await blocksOf(blockstore)))
    assert.equal(progress.at(-1), bytes)
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    )
    const limits = { encryptedBytes: MAX_BYTES, unpackedBytes: MAX_BYTES }
    const image = await openImage(store, { cid: published.cid, privateKey: published.privateKey, crypto, limits })
    for (const [i, layer] of image.layers.entries())
      assert.ok((await collect(layer.open())).equals(tars[i] ?? assert.fail()))
    assert.equal(
      pair.connection.streams.filter(({ protocol }) => protocol === BLOCKS.id).length,
      0,
      'no stream is left',
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('only what is not held is asked for, and a damaged block is fetched again', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishBlocks()
  await serveBlocks(pair.publisher, { blockstore })
  const store = new MemoryBlockstore()
  const pull = async () => {
    let fetched = 0
    const onProgress = (bytes: number) => {
      fetched = bytes
    }
    const { bytes } = await fetchTree(await backwards(pair), {
      cid: published.cid,
      blockstore: store,
      maxBytes: MAX_BYTES,
      onProgress,
    })
    return { bytes, fetched }
  }
  const first = await pull()
  assert.equal(first.fetched, first.bytes)
  assert.deepEqual(await pull(), { bytes: first.bytes, fetched: 0 })

  const leaf = [...(await blocksOf(store))].find(([, { length }]) => length === 1024 * 1024) ?? assert.fail()
  const cid = CID.createV1(raw.code, await sha256.digest(leaf[1]))
  await store.put(cid, new Uint8Array(5))
  assert.deepEqual(await pull(), { bytes: first.bytes, fetched: 1024 * 1024 })
  await store.delete(cid)
  assert.deepEqual(await pull(), { bytes: first.bytes, fetched: 1024 * 1024 })
  assert.deepEqual(await blocksOf(store), await blocksOf(blockstore))
})

test('a transfer that broke off is resumed where it stood', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishBlocks()
  await serveBlocks(pair.publisher, { blockstore })
  const store = new MemoryBlockstore()
  const stop = new AbortController()
  const reason = new Error('power cut')
  const onProgress = (bytes: number) => bytes > 3_000_000 && stop.abort(reason)
  const options = { cid: published.cid, blockstore: store, maxBytes: MAX_BYTES }
  await assert.rejects(fetchTree(await backwards(pair), { ...options, onProgress, signal: stop.signal }), reason)
  const held = totalBytes(await blocksOf(store))
  assert.ok(held > 3_000_000)
  let fetched = 0
  const { bytes } = await fetchTree(await backwards(pair), { ...options, onProgress: (now) => (fetched = now) })
  assert.equal(held + fetched, bytes)
})

test('a tree of more blocks than fit one request arrives', async () => {
  await using pair = await startNodePair()
  const blockstore = new MemoryBlockstore()
  const small: Record<string, TreeNode> = {}
  for (let i = 0; i < 200; i++) small[`${i}`] = await writeFile(blockstore, Buffer.from(`file ${i}`))
  const { cid } = await writeDirectory(blockstore, { small: await writeDirectory(blockstore, small) })
  await serveBlocks(pair.publisher, { blockstore })
  const store = new MemoryBlockstore()
  await fetchTree(await backwards(pair), { cid: cid.bytes, blockstore: store, maxBytes: MAX_BYTES })
  assert.deepEqual(await blocksOf(store), await blocksOf(blockstore))
})

test('the byte cap holds exactly, blocks already held included', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishBlocks()
  await serveBlocks(pair.publisher, { blockstore })
  const bytes = totalBytes(await blocksOf(blockstore))
  const store = new MemoryBlockstore()
  const options = { cid: published.cid, blockstore: store }
  const over = fails('PROVISION_IMAGE_FETCH', /tree has over \d+ bytes/)
  await assert.rejects(fetchTree(await backwards(pair), { ...options, maxBytes: bytes - 1 }), over)
  await fetchTree(await backwards(pair), { ...options, maxBytes: bytes })
  await assert.rejects(fetchTree(await backwards(pair), { ...options, maxBytes: bytes - 1 }), over)
})
