import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as dagPb from '@ipld/dag-pb'
import { findBlock } from '@trusted-pods/protocol/image/block.ts'
import { writeDirectory, writeFile as writeUnixfsFile } from '@trusted-pods/protocol/image/unixfs-write.ts'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256, sha512 } from 'multiformats/hashes/sha2'
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

test('what is younger than a minute is not evicted', () =>
  withFolder(async (folder) => {
    const trees = new TreeTable(folder, { maxColdBytes: 0 })
    const tree = await store(trees)
    await trees.use('pod', [hex(tree.cid)])
    await trees.release('pod')
    assert.equal(await tree.isHeld(), true)
    await new TreeTable(folder, { maxColdBytes: 0, clock: later }).release('nobody')
    assert.equal(await tree.isHeld(), false)
  }))

test('who fetches for long keeps no cold tree; where blocks went meanwhile the fetch looks again', () =>
  withFolder(async (folder) => {
    const trees = new TreeTable(folder, { maxColdBytes: 0, clock: later })
    const cold = await store(trees)
    const fetched = await store(trees, cold.own)
    await trees.use('old', [hex(cold.cid)])
    const blockstore = await trees.blockstore()
    const root = (await findBlock(blockstore, fetched.cid)) ?? assert.fail()
    await blockstore.delete(fetched.cid)
    await trees.use('new', [hex(fetched.cid)])
    const seen: boolean[] = []
    await trees.whole(async () => {
      // Of a block that is found before its tree's folder is there the eviction knows nothing.
      seen.push(await cold.isHeld())
      if (seen.length === 1) await trees.release('old')
      await blockstore.put(fetched.cid, root)
    })
    assert.deepEqual(seen, [true, false])
    await trees.whole(async () => seen.push(true))
    assert.equal(seen.length, 3)
  }))

test('what was held of a tree that no reader would take is evicted like any other, and stops no eviction', () =>
  withFolder(async (folder) => {
    const trees = new TreeTable(folder, { maxColdBytes: 0, clock: later })
    const blockstore = await trees.blockstore()
    const noNode = Buffer.from('these bytes are no node')
    const wrongHash = CID.createV1(raw.code, await sha512.digest(noNode))
    const linked = dagPb.encode(dagPb.prepare({ Data: Uint8Array.of(8, 1), Links: [{ Hash: wrongHash, Tsize: 1 }] }))
    const held: CID[] = []
    for (const block of [noNode, linked]) {
      const cid = CID.createV1(dagPb.code, await sha256.digest(block))
      await blockstore.put(cid, block)
      held.push(cid)
    }
    const never = CID.createV1(dagPb.code, await sha512.digest(noNode))
    await trees.use('hostile', [...held, never].map(hex))
    // In use and cold: either way it is looked at.
    await trees.release('another')
    await trees.release('hostile')
    for (const cid of held) assert.equal(await findBlock(blockstore, cid), undefined)
  }))

test('a cold tree counts by what lies on the disk, not by what its links say', () =>
  withFolder(async (folder) => {
    const trees = new TreeTable(folder, { maxColdBytes: MIB, clock: later })
    const blockstore = await trees.blockstore()
    const leaf = await writeUnixfsFile(blockstore, randomBytes(MIB / 2))
    const other = await writeUnixfsFile(blockstore, randomBytes(MIB))
    const Links = [leaf, other].map(({ cid }, i) => ({ Name: `${i}`, Hash: cid, Tsize: 0 }))
    const root = dagPb.encode(dagPb.prepare({ Data: Uint8Array.of(8, 1), Links }))
    const cid = CID.createV1(dagPb.code, await sha256.digest(root))
    await blockstore.put(cid, root)
    await trees.use('pod', [hex(cid)])
    await trees.release('pod')
    assert.equal(await findBlock(blockstore, other.cid), undefined)
  }))
