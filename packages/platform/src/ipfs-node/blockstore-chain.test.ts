/** Blocks are found wherever they lie, and written to one place. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findBlock } from '@trusted-pods/protocol/image/block.ts'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { openFileBlockstore } from '../file-blockstore.ts'
import { BlockstoreChain } from './blockstore-chain.ts'

async function blockOf(text: string) {
  const bytes = Buffer.from(text)
  return { cid: CID.createV1(raw.code, await sha256.digest(bytes)), bytes }
}

test('a block comes from the first store that has it, later ones are not opened for it; writing goes to the last', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-chain-'))
  t.after(() => rm(folder, { recursive: true }))
  const [near, far] = await Promise.all(['near', 'far'].map((name) => openFileBlockstore(join(folder, name))))
  assert.ok(near && far)
  const [here, there, nowhere] = await Promise.all(['here', 'there', 'nowhere'].map(blockOf))
  assert.ok(here && there && nowhere)
  let opened = 0
  const chain = new BlockstoreChain([
    async () => near,
    async () => {
      opened++
      return far
    },
  ])
  await near.put(here.cid, here.bytes)
  assert.deepEqual([await chain.has(here.cid), opened], [true, 0])
  await chain.put(there.cid, there.bytes)
  assert.deepEqual([await near.has(there.cid), await far.has(there.cid)], [false, true])
  assert.deepEqual(await findBlock(chain, there.cid), new Uint8Array(there.bytes))
  assert.equal(await findBlock(chain, nowhere.cid), undefined)
})
