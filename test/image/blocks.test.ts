/** Pulling a tree over a real connection: whole, resumed, bounded; and a publisher that lacks, falsifies, stalls or is not allowed. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as dagPb from '@ipld/dag-pb'
import type { Connection, Stream } from '@libp2p/interface'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { BlockMessageSchema, BlocksRequestSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/blocks_pb.ts'
import { fetchTree, serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { type TreeNode, writeDirectory, writeFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import { framed } from '@trusted-pods/protocol/wire/framing.ts'
import { BLOCKS } from '@trusted-pods/protocol/wire/protocols.ts'
import { MemoryBlockstore } from 'blockstore-core'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { identity } from 'multiformats/hashes/identity'
import { sha256, sha512 } from 'multiformats/hashes/sha2'
import { collect, imageSource, randomTar } from '../support/image-fixture.ts'
import { type NodePair, startNodePair } from '../support/nodes.ts'

const MAX_BYTES = 2 ** 30

async function blocksOf(blockstore: Blockstore): Promise<Map<string, Uint8Array>> {
  const blocks = new Map<string, Uint8Array>()
  for await (const { cid, bytes } of blockstore.getAll())
    blocks.set(Buffer.from(cid.multihash.digest).toString('hex'), await collect((async function* () { yield* bytes })()))
  return blocks
}

const totalBytes = (blocks: Map<string, Uint8Array>) => [...blocks.values()].reduce((sum, { length }) => sum + length, 0)

async function publishFixture() {
  const blockstore = new MemoryBlockstore()
  const tars = [await randomTar(9_000_000), await randomTar(50_000)]
  const published = await publishImage(imageSource(tars.map((tar) => ({ tar }))), { blockstore, crypto })
  return { blockstore, tars, published }
}

/** The publisher dialled the provider; blocks are pulled the other way, over the same connection. */
async function backwards({ provider, publisher }: NodePair): Promise<Connection> {
  const opened = Promise.withResolvers<Connection>()
  provider.addEventListener('connection:open', ({ detail }) => opened.resolve(detail), { once: true })
  return provider.getConnections(publisher.peerId)[0] ?? opened.promise
}

/** A publisher that answers every CID as the test says; undefined: never. */
async function serveInstead(
  { publisher }: NodePair,
  answer: (cid: Uint8Array) => { cid: Uint8Array; found: boolean; data?: Uint8Array } | undefined,
) {
  await publisher.handle(BLOCKS.id, async (stream: Stream) => {
    const frames = framed(stream, { readBytes: BLOCKS.requestBytes, writeBytes: 4 * BLOCKS.responseBytes })
    for (;;) {
      const request = await frames.readOrEnd(BlocksRequestSchema)
      if (!request) return
      for (const cid of request.cids) {
        const message = answer(cid)
        if (message) await frames.write(BlockMessageSchema, message)
      }
    }
  })
}

function fails(code: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }
}

test('a whole image is pulled over a connection and opens from the store it was pulled into', async () => {
  await using pair = await startNodePair()
  const { blockstore, tars, published } = await publishFixture()
  await serveBlocks(pair.publisher, { blockstore })
  const folder = await mkdtemp(join(tmpdir(), 'tpod-blocks-'))
  try {
    const store = await openFileBlockstore(folder)
    const progress: number[] = []
    const onProgress = (bytes: number) => progress.push(bytes)
    const { bytes } = await fetchTree(await backwards(pair), { cid: published.cid, blockstore: store, maxBytes: MAX_BYTES, onProgress })
    assert.equal(bytes, totalBytes(await blocksOf(blockstore)))
    assert.equal(progress.at(-1), bytes)
    assert.deepEqual(progress, progress.toSorted((a, b) => a - b))
    const limits = { encryptedBytes: MAX_BYTES, unpackedBytes: MAX_BYTES }
    const image = await openImage(store, { cid: published.cid, privateKey: published.privateKey, crypto, limits })
    for (const [i, layer] of image.layers.entries()) assert.ok((await collect(layer.open())).equals(tars[i] ?? assert.fail()))
    assert.equal(pair.connection.streams.filter(({ protocol }) => protocol === BLOCKS.id).length, 0, 'no stream is left')
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('only what is not held is asked for, and a damaged block is fetched again', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishFixture()
  await serveBlocks(pair.publisher, { blockstore })
  const store = new MemoryBlockstore()
  const pull = async () => {
    let fetched = 0
    const onProgress = (bytes: number) => {
      fetched = bytes
    }
    const { bytes } = await fetchTree(await backwards(pair), { cid: published.cid, blockstore: store, maxBytes: MAX_BYTES, onProgress })
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
  const { blockstore, published } = await publishFixture()
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
  const { blockstore, published } = await publishFixture()
  await serveBlocks(pair.publisher, { blockstore })
  const bytes = totalBytes(await blocksOf(blockstore))
  const store = new MemoryBlockstore()
  const options = { cid: published.cid, blockstore: store }
  const over = fails('PROVISION_IMAGE_FETCH', /tree has over \d+ bytes/)
  await assert.rejects(fetchTree(await backwards(pair), { ...options, maxBytes: bytes - 1 }), over)
  await fetchTree(await backwards(pair), { ...options, maxBytes: bytes })
  await assert.rejects(fetchTree(await backwards(pair), { ...options, maxBytes: bytes - 1 }), over)
})

test('a publisher without the tree, or without one block of it, is told from the missing CID', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishFixture()
  await serveBlocks(pair.publisher, { blockstore })
  const pull = async (cid: Uint8Array) => fetchTree(await backwards(pair), { cid, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES })
  const unknown = CID.createV1(raw.code, await sha256.digest(Buffer.from('unknown')))
  await assert.rejects(pull(unknown.bytes), fails('PROVISION_IMAGE_FETCH', /does not have block bafkrei/))
  const leaf = [...(await blocksOf(blockstore)).values()].find(({ length }) => length === 1024 * 1024) ?? assert.fail()
  await blockstore.put(CID.createV1(raw.code, await sha256.digest(leaf)), new Uint8Array(1))
  await assert.rejects(pull(published.cid), fails('PROVISION_IMAGE_FETCH', /does not have block bafkrei/))
})

test('a falsified block is never stored', async () => {
  await using pair = await startNodePair()
  await serveInstead(pair, (cid) => ({ cid, found: true, data: Buffer.from('false') }))
  const store = new MemoryBlockstore()
  const cid = CID.createV1(raw.code, await sha256.digest(Buffer.from('true')))
  await assert.rejects(
    fetchTree(await backwards(pair), { cid: cid.bytes, blockstore: store, maxBytes: MAX_BYTES }),
    fails('PROVISION_IMAGE_FETCH', /has another hash/),
  )
  assert.equal((await blocksOf(store)).size, 0)
})

test('an answer for another block, and one over a frame, are refused', async () => {
  const cid = CID.createV1(raw.code, await sha256.digest(Buffer.from('wanted')))
  const other = CID.createV1(raw.code, await sha256.digest(Buffer.from('other')))
  for (const [answer, message] of [
    [{ cid: other.bytes, found: true, data: Buffer.from('other') }, /answered for another block/],
    [{ cid: cid.bytes, found: true, data: new Uint8Array(BLOCKS.responseBytes) }, /a frame has \d+ bytes, at most \d+ are allowed/],
  ] as const) {
    await using pair = await startNodePair()
    await serveInstead(pair, () => answer)
    const pulling = fetchTree(await backwards(pair), { cid: cid.bytes, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES })
    await assert.rejects(pulling, fails('PROVISION_IMAGE_FETCH', message))
  }
})

test('a publisher that falls silent fails the transfer; one that is slow does not', async () => {
  await using pair = await startNodePair()
  const block = Buffer.from('block')
  const cid = CID.createV1(raw.code, await sha256.digest(block))
  const options = { cid: cid.bytes, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES }
  await serveInstead(pair, () => undefined)
  await assert.rejects(
    fetchTree(await backwards(pair), { ...options, silenceMs: 200 }),
    fails('PROVISION_IMAGE_FETCH', /no byte from the publisher for 200 ms/),
  )
  await pair.publisher.unhandle(BLOCKS.id)
  // Twelve blocks that come 60 ms apart take over 600 ms, with no silence of 500.
  const blockstore = new MemoryBlockstore()
  const files: Record<string, TreeNode> = {}
  for (let i = 0; i < 12; i++) files[`${i}`] = await writeFile(blockstore, Buffer.from(`slow ${i}`))
  const root = await writeDirectory(blockstore, files)
  await serveSlowly(pair, blockstore, 60)
  await fetchTree(await backwards(pair), { cid: root.cid.bytes, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES, silenceMs: 500 })
})

async function serveSlowly({ publisher }: NodePair, blockstore: MemoryBlockstore, delayMs: number) {
  await publisher.handle(BLOCKS.id, async (stream: Stream) => {
    const frames = framed(stream, { readBytes: BLOCKS.requestBytes, writeBytes: BLOCKS.responseBytes })
    for (let request = await frames.readOrEnd(BlocksRequestSchema); request; request = await frames.readOrEnd(BlocksRequestSchema)) {
      for (const cid of request.cids) {
        await new Promise((resolve) => setTimeout(resolve, delayMs))
        const data = await collect((async function* () { yield* blockstore.get(CID.decode(cid)) })())
        await frames.write(BlockMessageSchema, { cid, found: true, data })
      }
    }
  })
}

test('a peer that is not allowed to pull gets nothing', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishFixture()
  const asked: string[] = []
  const allow = (peer: { toString(): string }) => asked.push(peer.toString()) === 0
  await serveBlocks(pair.publisher, { blockstore, allow })
  const store = new MemoryBlockstore()
  await assert.rejects(
    fetchTree(await backwards(pair), { cid: published.cid, blockstore: store, maxBytes: MAX_BYTES }),
    fails('PROVISION_IMAGE_FETCH', /pulling the image failed/),
  )
  assert.equal((await blocksOf(store)).size, 0)
  assert.deepEqual(new Set(asked), new Set([pair.provider.peerId.toString()]))
})

test('a publisher that does not serve blocks is told apart', async () => {
  await using pair = await startNodePair()
  const cid = CID.createV1(raw.code, await sha256.digest(Buffer.from('wanted')))
  await assert.rejects(
    fetchTree(await backwards(pair), { cid: cid.bytes, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES }),
    fails('PROVISION_IMAGE_FETCH', /pulling the image failed: .*blocks/),
  )
})

test('a lost connection fails the transfer', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishFixture()
  await serveBlocks(pair.publisher, { blockstore })
  const onProgress = () => pair.connection.abort(new Error('unplugged'))
  await assert.rejects(
    fetchTree(await backwards(pair), { cid: published.cid, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES, onProgress }),
    fails('PROVISION_IMAGE_FETCH', /pulling the image failed/),
  )
})

test('links of another codec or hash, and an identity root, are refused', async () => {
  const cids = [
    CID.createV1(0x71, await sha256.digest(Buffer.from('dag-cbor'))),
    CID.createV1(raw.code, await sha512.digest(Buffer.from('sha2-512'))),
    CID.createV1(raw.code, identity.digest(Buffer.from('inline'))),
  ]
  await using pair = await startNodePair()
  const blockstore = new MemoryBlockstore()
  await serveBlocks(pair.publisher, { blockstore })
  const pull = async (cid: CID) => fetchTree(await backwards(pair), { cid: cid.bytes, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES })
  for (const cid of cids) {
    const block = dagPb.encode(dagPb.prepare({ Links: [{ Name: 'x', Hash: cid, Tsize: 1 }] }))
    const parent = CID.createV1(dagPb.code, await sha256.digest(block))
    await blockstore.put(parent, block)
    await assert.rejects(pull(parent), fails('PROVISION_IMAGE_REFUSED', /wanted (dag-pb or raw|sha2-256)/))
    await assert.rejects(pull(cid), fails('PROVISION_IMAGE_REFUSED', /wanted (dag-pb or raw|sha2-256)/))
  }
})

test('a tree of very many tiny blocks is refused by their number', async () => {
  await using pair = await startNodePair()
  const blockstore = new MemoryBlockstore()
  const links: dagPb.PBLink[] = []
  for (let i = 0; i < 1100; i++) {
    const block = Buffer.from(`${i}`)
    const Hash = CID.createV1(raw.code, await sha256.digest(block))
    await blockstore.put(Hash, block)
    links.push({ Name: `${i}`, Hash, Tsize: block.length })
  }
  const block = dagPb.encode(dagPb.prepare({ Links: links }))
  const root = CID.createV1(dagPb.code, await sha256.digest(block))
  await blockstore.put(root, block)
  await serveBlocks(pair.publisher, { blockstore })
  await assert.rejects(
    fetchTree(await backwards(pair), { cid: root.bytes, blockstore: new MemoryBlockstore(), maxBytes: 1_000_000 }),
    fails('PROVISION_IMAGE_FETCH', /tree has over \d+ blocks/),
  )
})

test('the publisher resets a stream that asks for too much, for nothing, or for what is no block', async () => {
  await using pair = await startNodePair()
  await serveBlocks(pair.publisher, { blockstore: new MemoryBlockstore() })
  const cid = CID.createV1(raw.code, await sha256.digest(Buffer.from('any'))).bytes
  for (const cids of [[], Array.from({ length: 17 }, () => cid), [new Uint8Array([1])], [identityCid()]]) {
    const stream = await (await backwards(pair)).newStream(BLOCKS.id)
    const frames = framed(stream, { readBytes: BLOCKS.responseBytes, writeBytes: BLOCKS.requestBytes })
    await frames.write(BlocksRequestSchema, { cids })
    await assert.rejects(frames.read(BlockMessageSchema, { signal: AbortSignal.timeout(5_000) }), { code: /^WIRE_/ })
  }
})

function identityCid(): Uint8Array {
  return CID.createV1(raw.code, identity.digest(Buffer.from('inline'))).bytes
}
