/** Images that go into a blockstore and out of it, blobs unchanged. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openTreeBlobs } from '@trusted-pods/platform/images/tree-blobs.ts'
import { writeBlob, writeImageTree } from '@trusted-pods/protocol/image/image-tree.ts'
import { MANIFEST_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { encodeConfig, sha256Text } from '../support/image-fixture.ts'
import { layoutToTree, treeToLayout } from '../support/layout-tree.ts'

const LAYER = Buffer.alloc(1_500_000, 7)
const CONFIG = encodeConfig([sha256Text(LAYER)])

function manifestOf(layerDigest: string): Uint8Array {
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: sha256Text(CONFIG),
    size: CONFIG.length,
  }
  const layer = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar+encrypted',
    digest: layerDigest,
    size: LAYER.length,
  }
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: [layer] }))
}

/** A layout in a folder, and the CID of the tree that it comes from. */
async function layoutFixture(t: TestContext) {
  const parent = await mkdtemp(join(tmpdir(), 'tpod-layout-'))
  t.after(() => rm(parent, { recursive: true }))
  const blockstore = new MemoryBlockstore()
  const manifest = manifestOf(sha256Text(LAYER))
  const blobs = [await writeBlob(blockstore, CONFIG), await writeBlob(blockstore, LAYER)]
  const cid = (await writeImageTree(blockstore, manifest, blobs)).cid.bytes
  const folder = join(parent, 'layout')
  await treeToLayout(blockstore, cid, folder)
  return { folder, manifest, cid }
}

const blobFile = (folder: string, content: Uint8Array) =>
  join(folder, 'blobs', 'sha256', createHash('sha256').update(content).digest('hex'))

test('a tree that goes to a folder and back has the same CID', async (t) => {
  const { folder, manifest, cid } = await layoutFixture(t)
  assert.deepEqual(await readFile(blobFile(folder, manifest)), manifest)
  assert.deepEqual(await readFile(blobFile(folder, LAYER)), LAYER)
  assert.deepEqual(await layoutToTree(folder, new MemoryBlockstore()), cid)
})

test('refused: a blob that is not what its name says, a folder that is no layout, one of no image', async (t) => {
  const { folder } = await layoutFixture(t)
  await writeFile(blobFile(folder, LAYER), Buffer.alloc(LAYER.length, 8))
  await assert.rejects(layoutToTree(folder, new MemoryBlockstore()), {
    code: 'MANIFEST_IMAGE_INVALID',
    message: /blob sha256:[0-9a-f]{64} is sha256:/,
  })
  await assert.rejects(layoutToTree(join(folder, 'nowhere'), new MemoryBlockstore()), {
    code: 'MANIFEST_IMAGE_NOT_FOUND',
  })
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [] }))
  await assert.rejects(layoutToTree(folder, new MemoryBlockstore()), {
    code: 'MANIFEST_IMAGE_INVALID',
    message: /0 images/,
  })
})

test('an image of which a blob was never put there gets no tree', async () => {
  const blobs = openTreeBlobs(new MemoryBlockstore())
  await blobs.putDocument('application/vnd.oci.image.config.v1+json', CONFIG)
  const root = await blobs.putDocument(MANIFEST_TYPE, manifestOf(sha256Text(LAYER)))
  await assert.rejects(blobs.writeTree(root), { code: 'MANIFEST_IMAGE_INVALID', message: /which it does not have/ })
})
