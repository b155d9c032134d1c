/** `image:` of a manifest: paths from the manifest's own folder, and what was published before used as it is. */
import assert from 'node:assert/strict'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { nodeStreamCrypto } from '@trusted-pods/platform/stream-crypto.ts'
import { decodeDagPb, readBlock } from '@trusted-pods/protocol/image/block.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { CID } from 'multiformats/cid'
import { imageFolder } from '../../../test/support/image-cli.ts'
import { memoryStream } from '../../../test/support/memory-stream.ts'
import { openBlocks } from './blocks.ts'
import type { Context } from './context.ts'
import { imagePublisher } from './image-publisher.ts'
import { createOutput } from './output.ts'

const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }

async function publisherIn(t: TestContext) {
  const files = await imageFolder(t)
  const { folder } = files
  const env = { HOME: join(folder, 'home') }
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const context: Context = {
    output: createOutput(stdout, stderr, { format: 'pretty', quiet: false, env }),
    around: { stdout, stderr, stdin: Readable.from([]), env, signal: new AbortController().signal },
    signal: new AbortController().signal,
    configPath: join(folder, 'config.yaml'),
    stateFolder: join(folder, 'home/.local/state/trustedpods'),
    debug: false,
  }
  const config = { path: context.configPath, engine: '/nowhere/docker.sock' }
  const blocks = await openBlocks(context, 'lease')
  t.after(() => blocks[Symbol.asyncDispose]())
  const { blockstore } = blocks
  return { ...files, blockstore, images: imagePublisher(context, { config, blocks, privacy: 'sealed', folder }) }
}

test('a path is meant from the folder of the manifest', async (t) => {
  const { folder, images, blockstore } = await publisherIn(t)
  await mkdir(join(folder, 'build'))
  await rename(join(folder, 'plain'), join(folder, 'build', 'image'))
  const { cid, privateKey, layers } = await images.publish('oci:./build/image:v1', {})
  assert.equal(layers, 4)
  await openImage(blockstore, { cid, privateKey, crypto: nodeStreamCrypto, limits: LIMITS })
})

test('ipfs:CID that was published here goes out with its own key, not encrypted again', async (t) => {
  const { folder, run, images, blockstore } = await publisherIn(t)
  const said = await run('publish', `oci:${folder}/plain`)
  const { cid, privateKey, layers } = await images.publish(`ipfs:${said.cid}`, {})
  assert.deepEqual([CID.decode(cid).toString(), layers], [said.cid, 4])
  const opened = await openImage(blockstore, { cid, privateKey, crypto: nodeStreamCrypto, limits: LIMITS })
  assert.equal(opened.layers.length, 4)
})

test('ipfs:CID of a plain image is encrypted, of one whose key is elsewhere refused', async (t) => {
  const { folder, recipient, run, images } = await publisherIn(t)
  const plain = await run('publish', `oci:${folder}/plain`, '--plain')
  const published = await images.publish(`ipfs:${plain.cid}`, {})
  assert.notEqual(CID.decode(published.cid).toString(), plain.cid)
  const theirs = await run('publish', `oci:${folder}/plain`, '--recipient', recipient)
  await assert.rejects(images.publish(`ipfs:${theirs.cid}`, {}), {
    code: 'MANIFEST_IMAGE_INVALID',
    message: /layer 0 is encrypted already: trustedpods image decrypt/,
  })
})

test('ipfs:CID of an image of which a layer is plain is refused, though its key is here', async (t) => {
  const { folder, run, images } = await publisherIn(t)
  const { cid } = await run('publish', `oci:${folder}/plain`, '--layers=0,1')
  await assert.rejects(images.publish(`ipfs:${cid}`, {}), {
    code: 'MANIFEST_IMAGE_INVALID',
    message: /layer 2 of ipfs:\S+ is not encrypted, and providers take no such layer/,
  })
})

test('ipfs:CID with a block lost is refused before anything is paid', async (t) => {
  const { folder, run, images, blockstore } = await publisherIn(t)
  const { cid } = await run('publish', `oci:${folder}/plain`)
  const root = CID.parse(String(cid))
  const reached = decodeDagPb(root, await readBlock(blockstore, root))
  const index = reached.Links.find(({ Name }) => Name === 'oci-layout') ?? assert.fail()
  await blockstore.delete(index.Hash)
  await assert.rejects(images.publish(`ipfs:${cid}`, {}), { code: 'MANIFEST_IMAGE_NOT_FOUND' })
})
