import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeBlob, writeImageTree } from '@trusted-pods/protocol/image/image-tree.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { exportOciLayout, importOciLayout } from './oci-layout.ts'

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))

async function treeFixture() {
  const blockstore = new MemoryBlockstore()
  const [config, layer] = [bytes({ os: 'linux' }), Buffer.alloc(1_500_000, 7)]
  const blobs = [await writeBlob(blockstore, config), await writeBlob(blockstore, layer)]
  const manifest = bytes({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: blobs[0]?.digest, size: config.length },
    layers: [
      { mediaType: 'application/vnd.oci.image.layer.v1.tar+encrypted', digest: blobs[1]?.digest, size: layer.length },
    ],
  })
  return { blockstore, manifest, layer, cid: (await writeImageTree(blockstore, manifest, blobs)).cid.bytes }
}

async function withLayout(run: (folder: string, fixture: Awaited<ReturnType<typeof treeFixture>>) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-layout-'))
  try {
    const fixture = await treeFixture()
    await exportOciLayout(fixture.blockstore, { cid: fixture.cid, folder })
    await run(folder, fixture)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const blobFile = (folder: string, content: Uint8Array) =>
  join(folder, 'blobs', 'sha256', createHash('sha256').update(content).digest('hex'))

test('a tree that goes to a folder and back has the same CID', () =>
  withLayout(async (folder, { cid, manifest, layer }) => {
    assert.deepEqual(await readFile(blobFile(folder, manifest)), manifest)
    assert.deepEqual(await readFile(blobFile(folder, layer)), layer)
    assert.deepEqual(await importOciLayout(folder, { blockstore: new MemoryBlockstore() }), cid)
  }))

test('a blob that is not what its name says is refused', () =>
  withLayout(async (folder, { layer }) => {
    const refused = { code: 'PROVISION_IMAGE_REFUSED', message: /blob sha256:[0-9a-f]{64} of 1500000 bytes is sha256:/ }
    await writeFile(blobFile(folder, layer), layer.subarray(1))
    await assert.rejects(importOciLayout(folder, { blockstore: new MemoryBlockstore() }), refused)
  }))

test('a folder that is no layout is MANIFEST_IMAGE_NOT_FOUND, one of several images is refused', () =>
  withLayout(async (folder) => {
    const options = { blockstore: new MemoryBlockstore() }
    await assert.rejects(importOciLayout(join(folder, 'nowhere'), options), { code: 'MANIFEST_IMAGE_NOT_FOUND' })
    await writeFile(join(folder, 'index.json'), bytes({ schemaVersion: 2, manifests: [] }))
    await assert.rejects(importOciLayout(folder, options), { code: 'PROVISION_IMAGE_REFUSED', message: /0 manifests/ })
  }))
