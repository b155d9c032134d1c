import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findBlock } from '@trusted-pods/protocol/image/block.ts'
import { FsBlockstore } from 'blockstore-fs'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { openFileBlockstore } from './file-blockstore.ts'

const cidOf = async (block: Uint8Array) => CID.createV1(raw.code, await sha256.digest(block))

async function withFolder(run: (folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-blockstore-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const filesIn = async (folder: string) =>
  (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())

test('blocks that are put are found, by blockstore-fs too, and nothing else is left', () =>
  withFolder(async (folder) => {
    const store = await openFileBlockstore(folder)
    const blocks = [randomBytes(0), randomBytes(1), randomBytes(1024 * 1024), randomBytes(2 * 1024 * 1024)]
    for (const block of blocks) await store.put(await cidOf(block), block)
    const other = new FsBlockstore(folder)
    for (const block of blocks) {
      const cid = await cidOf(block)
      assert.equal(await store.sizeOf(cid), block.length)
      assert.deepEqual(await findBlock(store, cid), new Uint8Array(block))
      assert.deepEqual(Buffer.from((await findBlock(other, cid)) ?? []), block)
    }
    assert.equal((await filesIn(folder)).length, blocks.length)
  }))

test('a block that was never put, was deleted, or grew beyond any block is not there', () =>
  withFolder(async (folder) => {
    const store = await openFileBlockstore(folder)
    const block = randomBytes(100)
    const cid = await cidOf(block)
    assert.equal(await store.has(cid), false)
    assert.equal(await findBlock(store, cid), undefined)
    await store.put(cid, block)
    assert.equal(await store.has(cid), true)
    const [file] = await filesIn(folder)
    await truncate(join(file?.parentPath ?? '', file?.name ?? ''), 2 ** 30)
    assert.equal(await findBlock(store, cid), undefined)
    await store.put(cid, block)
    assert.deepEqual(await findBlock(store, cid), new Uint8Array(block))
    await store.delete(cid)
    assert.equal(await store.has(cid), false)
  }))

test('ten writers of one block leave one whole file', () =>
  withFolder(async (folder) => {
    const block = randomBytes(1024 * 1024)
    const cid = await cidOf(block)
    const stores = await Promise.all(Array.from({ length: 10 }, () => openFileBlockstore(folder)))
    await Promise.all(stores.map(async (store) => store.put(cid, block)))
    assert.equal((await filesIn(folder)).length, 1)
    assert.deepEqual(await findBlock(stores[0] ?? assert.fail(), cid), new Uint8Array(block))
  }))

test('what cannot be written is an error and leaves no part', () =>
  withFolder(async (folder) => {
    const store = await openFileBlockstore(folder)
    const block = randomBytes(100)
    const cid = await cidOf(block)
    await store.put(cid, block)
    const [file] = await filesIn(folder)
    await rm(file?.parentPath ?? '', { recursive: true })
    await writeFile(file?.parentPath ?? '', 'a file where the folder was')
    await assert.rejects(async () => store.put(cid, block), { code: 'ENOTDIR' })
  }))
