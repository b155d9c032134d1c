/** A publisher that lacks, falsifies, stalls or may not be asked; a tree that is not as it must be; a puller that asks for too much. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import * as dagPb from '@ipld/dag-pb'
import { BlockMessageSchema, BlocksRequestSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/blocks_pb.ts'
import { fetchTree, serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { type TreeNode, writeDirectory, writeFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import { framed } from '@trusted-pods/protocol/wire/framing.ts'
import { BLOCKS } from '@trusted-pods/protocol/wire/protocols.ts'
import { MemoryBlockstore } from 'blockstore-core'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { identity } from 'multiformats/hashes/identity'
import { sha256, sha512 } from 'multiformats/hashes/sha2'
import {
  backwards,
  blocksOf,
  fails,
  MAX_BYTES,
  publishBlocks,
  serveInstead,
  serveSlowly,
  totalBytes,
} from '../support/block-transfer.ts'
import { startNodePair } from '../support/nodes.ts'

test('a publisher without the tree, without one block of it, or with one that is damaged is told from the CID', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishBlocks()
  await serveBlocks(pair.publisher, { blockstore })
  const pull = async (cid: Uint8Array) =>
    fetchTree(await backwards(pair), { cid, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES })
  const unknown = CID.createV1(raw.code, await sha256.digest(Buffer.from('unknown')))
  await assert.rejects(pull(unknown.bytes), fails('PROVISION_IMAGE_FETCH', /does not have block bafkrei/))
  const leaf = [...(await blocksOf(blockstore)).values()].find(({ length }) => length === 1024 * 1024) ?? assert.fail()
  const cid = CID.createV1(raw.code, await sha256.digest(leaf))
  await blockstore.put(cid, new Uint8Array(1))
  await assert.rejects(pull(published.cid), fails('PROVISION_IMAGE_FETCH', /sent as block bafkrei\w+ has another hash/))
  await blockstore.delete(cid)
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
    [
      { cid: cid.bytes, found: true, data: new Uint8Array(BLOCKS.responseBytes) },
      /a frame has \d+ bytes, at most \d+ are allowed/,
    ],
  ] as const) {
    await using pair = await startNodePair()
    await serveInstead(pair, () => answer)
    const pulling = fetchTree(await backwards(pair), {
      cid: cid.bytes,
      blockstore: new MemoryBlockstore(),
      maxBytes: MAX_BYTES,
    })
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
  await fetchTree(await backwards(pair), {
    cid: root.cid.bytes,
    blockstore: new MemoryBlockstore(),
    maxBytes: MAX_BYTES,
    silenceMs: 500,
  })
})

test('a publisher that sends just enough not to be silent fails the transfer; held blocks and a fair pace do not', async () => {
  await using pair = await startNodePair()
  const blockstore = new MemoryBlockstore()
  const files: Record<string, TreeNode> = {}
  for (let i = 0; i < 20; i++) files[`${i}`] = await writeFile(blockstore, Buffer.alloc(1000, i))
  const { cid } = await writeDirectory(blockstore, files)
  await serveSlowly(pair, blockstore, 50)
  const store = new MemoryBlockstore()
  const options = { cid: cid.bytes, blockstore: store, maxBytes: MAX_BYTES, silenceMs: 2_000, paceMs: 400 }
  await assert.rejects(
    fetchTree(await backwards(pair), { ...options, minBytesPerSecond: 100_000 }),
    fails('PROVISION_IMAGE_FETCH', /^\d+ bytes from the publisher in 400 ms, at least 40000 are wanted$/),
  )
  await fetchTree(await backwards(pair), { ...options, minBytesPerSecond: 1_000 })
  assert.equal(totalBytes(await blocksOf(store)), totalBytes(await blocksOf(blockstore)))
  // All is held, and reading it takes over a second in which nothing comes over the wire.
  const has = async (block: CID) => delay(60).then(() => store.has(block))
  const slowStore: Blockstore = Object.assign(Object.create(store), { has })
  await fetchTree(await backwards(pair), { ...options, blockstore: slowStore, minBytesPerSecond: 5_000 })
})

test('a peer that is not allowed to pull gets nothing', async () => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishBlocks()
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
  const { blockstore, published } = await publishBlocks()
  await serveBlocks(pair.publisher, { blockstore })
  const onProgress = () => pair.connection.abort(new Error('unplugged'))
  await assert.rejects(
    fetchTree(await backwards(pair), {
      cid: published.cid,
      blockstore: new MemoryBlockstore(),
      maxBytes: MAX_BYTES,
      onProgress,
    }),
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
  const pull = async (cid: CID) =>
    fetchTree(await backwards(pair), { cid: cid.bytes, blockstore: new MemoryBlockstore(), maxBytes: MAX_BYTES })
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
