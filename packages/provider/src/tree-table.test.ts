import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findBlock } from '@trusted-pods/protocol/image/block.ts'
import { writeDirectory, writeFile as writeUnixfsFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import type { CID } from 'multiformats/cid'
import { TreeTable } from './tree-table.ts'

const MIB = 1024 * 1024
/** Long after what was written now. */
const later = () => Date.now() + 3600_000
const hex = (cid: CID) => Buffer.from(cid.bytes).toString('hex')

async function withFolder(run: (folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-trees-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** A tree of 2 MiB of its own and, where given, another's file. */
async function store(trees: TreeTable, shared?: { cid: CID; size: number }) {
  const blockstore = await trees.blockstore()
  const own = await writeUnixfsFile(blockstore, randomBytes(2 * MIB))
  const { cid } = await writeDirectory(blockstore, { own, ...(shared && { shared }) })
  return { cid, own, isHeld: async () => (await findBlock(blockstore, own.cid)) !== undefined }
}

test('what a pod uses stays; what was released stays within its bytes, the latest used first', () =>
  withFolder(async (folder) => {
    const trees = new TreeTable(folder, { maxColdBytes: 3 * MIB, clock: later })
    const [a, b, c] = [await store(trees), await store(trees), await store(trees)]
    await trees.use('pod-a', [hex(a.cid)])
    await trees.use('pod-b', [hex(b.cid)])
    await trees.use('pod-c', [hex(c.cid)])
    await trees.release('pod-a')
    assert.deepEqual([await a.isHeld(), await b.isHeld(), await c.isHeld()], [true, true, true])
    await trees.release('pod-b')
    assert.deepEqual([await a.isHeld(), await b.isHeld(), await c.isHeld()], [false, true, true])
    await trees.use('pod-d', [hex(b.cid)])
    await trees.release('pod-c')
    assert.deepEqual([await b.isHeld(), await c.isHeld()], [true, true])
  }))

test('another pod’s use of the same tree, or of a part of it, keeps it; also after a crash', () =>
  withFolder(async (folder) => {
    const trees = new TreeTable(folder, { maxColdBytes: 0, clock: later })
    const first = await store(trees)
    const second = await store(trees, first.own)
    await trees.use('pod-1', [hex(first.cid)])
    await trees.use('pod-2', [hex(second.cid)])
    const restarted = new TreeTable(folder, { maxColdBytes: 0, clock: later })
    await writeFile(join(folder, 'pods', 'pod-2.1234'), 'cut in the middle of a write')
    await restarted.release('pod-1')
    assert.deepEqual([await first.isHeld(), await second.isHeld()], [true, true])
    await restarted.release('pod-2')
    assert.deepEqual([await first.isHeld(), await second.isHeld()], [false, false])
  }))

test('nothing is evicted while a tree is read, nor what is younger than a minute', () =>
  withFolder(async (folder) => {
    const trees = new TreeTable(folder, { maxColdBytes: 0, clock: later })
    const tree = await store(trees)
    await trees.use('pod', [hex(tree.cid)])
    await trees.whileReading(() => trees.release('pod'))
    assert.equal(await tree.isHeld(), true)
    const now = new TreeTable(folder, { maxColdBytes: 0 })
    await now.release('nobody')
    assert.equal(await tree.isHeld(), true)
    await trees.release('nobody')
    assert.equal(await tree.isHeld(), false)
  }))
