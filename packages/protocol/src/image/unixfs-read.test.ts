import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as dagPb from '@ipld/dag-pb'
import { MemoryBlockstore } from 'blockstore-core'
import { UnixFS } from 'ipfs-unixfs'
import { importBytes } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { readFile, resolvePath, streamFile } from './unixfs-read.ts'
import { type TreeNode, writeDirectory, writeFile } from './unixfs-write.ts'

const refused = (message: RegExp) => ({ name: 'TrustedPodsError', code: 'PROVISION_IMAGE_REFUSED', message })
const read = (blockstore: MemoryBlockstore, cid: CID, maxBytes: number) => readFile(blockstore, cid, { maxBytes })

async function putNode(blockstore: MemoryBlockstore, data: UnixFS, children: readonly CID[]): Promise<CID> {
  const links = children.map((Hash) => ({ Name: '', Hash, Tsize: 1 }))
  const block = dagPb.encode({ Data: data.marshal(), Links: links })
  const cid = CID.createV1(dagPb.code, await sha256.digest(block))
  await blockstore.put(cid, block)
  return cid
}

async function putRaw(blockstore: MemoryBlockstore, block: Uint8Array): Promise<CID> {
  const cid = CID.createV1(raw.code, await sha256.digest(block))
  await blockstore.put(cid, block)
  return cid
}

const fileNode = (blockSizes: bigint[]) => new UnixFS({ type: 'file', blockSizes })

test('files of any size read back, in our profile, in Kubo’s old one and with tiny chunks', async () => {
  for (const size of [0, 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 3_000_000]) {
    const bytes = randomBytes(size)
    const blockstore = new MemoryBlockstore()
    assert.ok(
      Buffer.from(await read(blockstore, (await writeFile(blockstore, bytes)).cid, size)).equals(bytes),
      `${size}`,
    )
    const old = await importBytes(bytes, blockstore, { profile: 'unixfs-v0-2015' })
    assert.ok(Buffer.from(await read(blockstore, old.cid, size)).equals(bytes), `${size} of old`)
    const tiny = await importBytes(bytes, blockstore, { chunker: fixedSize({ chunkSize: 4096 }) })
    assert.ok(Buffer.from(await read(blockstore, tiny.cid, size)).equals(bytes), `${size} in tiny chunks`)
  }
})

test('no more than one block is taken from the store before its bytes are read', async () => {
  const blockstore = new MemoryBlockstore()
  const { cid } = await writeFile(blockstore, randomBytes(5 * 1024 * 1024))
  let taken = 0
  const counting = Object.assign(Object.create(blockstore) as MemoryBlockstore, {
    get: (each: CID) => {
      taken++
      return blockstore.get(each)
    },
  })
  const stream = streamFile(counting, cid, { maxBytes: 2 ** 30 })[Symbol.asyncIterator]()
  for (let i = 1; i <= 5; i++) {
    await stream.next()
    assert.equal(taken, 1 + i)
  }
})

test('paths resolve through directories, and what is not there is refused', async () => {
  const blockstore = new MemoryBlockstore()
  const file = await writeFile(blockstore, Buffer.from('hello'))
  const root = await writeDirectory(blockstore, { a: await writeDirectory(blockstore, { b: file }) })
  assert.deepEqual(await resolvePath(blockstore, root.cid, ['a', 'b']), file.cid)
  await assert.rejects(resolvePath(blockstore, root.cid, ['a', 'c']), refused(/the tree has no a\/c/))
  await assert.rejects(resolvePath(blockstore, root.cid, ['a', 'b', 'c']), refused(/is not a directory/))
  await assert.rejects(resolvePath(blockstore, file.cid, ['a']), refused(/is not a directory/))
  await assert.rejects(read(blockstore, root.cid, 100), refused(/is a directory, not a file/))
})

test('a directory does not depend on the order in which its entries were given', async () => {
  const blockstore = new MemoryBlockstore()
  const file = await writeFile(blockstore, Buffer.from('hello'))
  const entries: [string, TreeNode][] = [
    ['b', file],
    ['a', file],
    ['Z', file],
    ['ä', file],
  ]
  const [first, second] = [Object.fromEntries(entries), Object.fromEntries(entries.toReversed())]
  assert.deepEqual(await writeDirectory(blockstore, first), await writeDirectory(blockstore, second))
})

test('refused: a file one byte longer than allowed', async () => {
  const blockstore = new MemoryBlockstore()
  const { cid } = await writeFile(blockstore, randomBytes(2_000_000))
  await assert.rejects(read(blockstore, cid, 1_999_999), refused(/is longer than 1999999 bytes/))
})

test('refused: a file that repeats one leaf a thousand million times', async () => {
  const blockstore = new MemoryBlockstore()
  let cid = await putRaw(blockstore, Buffer.from('x'))
  for (let level = 0; level < 3; level++)
    cid = await putNode(blockstore, fileNode(Array(1000).fill(1n)), Array(1000).fill(cid))
  await assert.rejects(read(blockstore, cid, 1_000_000), refused(/has too many blocks for its 1000000 bytes/))
})

test('refused: a file that repeats an empty leaf, or is nested without end', async () => {
  const blockstore = new MemoryBlockstore()
  let cid = await putRaw(blockstore, new Uint8Array())
  const wide = await putNode(blockstore, fileNode(Array(1000).fill(0n)), Array(1000).fill(cid))
  await assert.rejects(read(blockstore, wide, 10), refused(/has too many blocks/))
  for (let level = 0; level < 20; level++) cid = await putNode(blockstore, fileNode([0n]), [cid])
  await assert.rejects(read(blockstore, cid, 10), refused(/is nested over 16 deep/))
})

test('refused: nodes that contradict themselves or are no UnixFS', async () => {
  const blockstore = new MemoryBlockstore()
  const leaf = await putRaw(blockstore, Buffer.from('x'))
  await assert.rejects(
    read(blockstore, await putNode(blockstore, fileNode([1n, 1n]), [leaf]), 10),
    refused(/has 1 links, says 2/),
  )
  const symlink = await putNode(blockstore, new UnixFS({ type: 'symlink', data: Buffer.from('/etc/passwd') }), [])
  await assert.rejects(read(blockstore, symlink, 10), refused(/is a symlink, not a file/))
  for (const block of [Buffer.from('garbage'), dagPb.encode({ Data: Buffer.from([0xff, 0xff]), Links: [] })]) {
    const cid = CID.createV1(dagPb.code, await sha256.digest(block))
    await blockstore.put(cid, block)
    await assert.rejects(read(blockstore, cid, 10), refused(/is not (dag-pb|UnixFS)/))
  }
})

test('a block that is missing, damaged or over 2 MiB is PROVISION_IMAGE_FETCH', async () => {
  const blockstore = new MemoryBlockstore()
  const fetch = { code: 'PROVISION_IMAGE_FETCH', message: /is missing or damaged/ }
  const cid = await putRaw(blockstore, Buffer.from('block'))
  await blockstore.put(cid, Buffer.from('other'))
  await assert.rejects(read(blockstore, cid, 10), fetch)
  await blockstore.delete(cid)
  await assert.rejects(read(blockstore, cid, 10), fetch)
  await assert.rejects(read(blockstore, await putRaw(blockstore, new Uint8Array(2 * 1024 * 1024 + 1)), 2 ** 22), fetch)
})

test('refused: long nodes that a file names again and again, each to be hashed every time', async () => {
  const blockstore = new MemoryBlockstore()
  const empty = await putRaw(blockstore, new Uint8Array())
  const stuffed = dagPb.encode({
    Data: fileNode([0n]).marshal(),
    Links: [{ Name: 'x'.repeat(1024 * 1024), Hash: empty, Tsize: 0 }],
  })
  const long = CID.createV1(dagPb.code, await sha256.digest(stuffed))
  await blockstore.put(long, stuffed)
  const file = await putNode(blockstore, fileNode(Array(1000).fill(0n)), Array(1000).fill(long))
  await assert.rejects(read(blockstore, file, 1024 * 1024 * 16), refused(/too long nodes for its 16777216 bytes/))
})
