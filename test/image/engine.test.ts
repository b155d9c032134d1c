/** A real engine at both ends: what it saves is published, and it loads what was opened. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { embeddedEngineObstacle, openEmbeddedEngine } from '@trusted-pods/platform/engine/embedded-engine.ts'
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { inspectImage, loadImage, removeImage, saveImage } from '@trusted-pods/platform/engine/images.ts'
import { openDockerArchive } from '@trusted-pods/platform/engine-image-source.ts'
import { hybridArchive } from '@trusted-pods/platform/hybrid-archive.ts'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { collect, imageSource, randomTar } from '../support/image-fixture.ts'
import { memoryLog } from '../support/memory-log.ts'

const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }
const obstacle = await embeddedEngineObstacle()
const skip = obstacle ? `SKIPPED, nothing below was proven against an engine: ${obstacle}` : false
if (skip) console.warn(skip)

async function encryptAndOpen(source: Parameters<typeof publishImage>[0]): Promise<OpenedImage> {
  const blockstore = new MemoryBlockstore()
  const { cid, privateKey } = await publishImage(source, { blockstore, crypto })
  return openImage(blockstore, { cid, privateKey, crypto, limits: LIMITS })
}

async function withEngine(run: (engine: Engine, folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-engine-'))
  try {
    await using engine = await openEmbeddedEngine({ stateDir: join(folder, 'engine'), log: memoryLog() })
    await run(engine, folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('an image goes from an engine through encryption back into the engine, layer by layer the same', { skip }, () =>
  withEngine(async (engine, folder) => {
    const tars = [await randomTar(400_000, 'a'), await randomTar(1_500_000, 'b')]
    const first = await encryptAndOpen(
      imageSource([...tars.map((tar) => ({ tar })), { tar: tars[0] ?? assert.fail() }]),
    )
    await loadImage(engine, hybridArchive(first, { repoTag: 'tpod.invalid/mine:1' }))

    const archive = await saveImage(engine, 'tpod.invalid/mine:1')
    await using source = await openDockerArchive(archive, { name: 'mine', tempDir: folder })
    const opened = await encryptAndOpen(source)
    assert.ok(await removeImage(engine, 'tpod.invalid/mine:1'))
    await loadImage(engine, hybridArchive(opened, { repoTag: 'tpod.invalid/theirs:1' }))
    const inspected = await inspectImage(engine, 'tpod.invalid/theirs:1')
    assert.deepEqual(
      inspected?.diffIds,
      first.layers.map(({ diffId }) => diffId),
    )

    const again = await saveImage(engine, 'tpod.invalid/theirs:1')
    await using saved = await openDockerArchive(again, { name: 'theirs', tempDir: folder })
    assert.equal(saved.layers.length, 3)
    for (const [i, tar] of [...tars, ...tars.slice(0, 1)].entries())
      assert.ok((await collect(saved.layers[i]?.open() ?? assert.fail())).equals(tar), `layer ${i}`)
  }),
)

test('an archive whose layer fails in the middle registers nothing', { skip }, () =>
  withEngine(async (engine) => {
    const image = await encryptAndOpen(imageSource([{ tar: await randomTar(400_000) }]))
    const failure = new TrustedPodsError('PROVISION_IMAGE_REFUSED', 'layer 0: wrong HMAC')
    const layers = image.layers.map((layer) => ({
      ...layer,
      async *open() {
        yield new Uint8Array(65_536)
        throw failure
      },
    }))
    const repoTag = 'tpod.invalid/broken:1'
    await assert.rejects(loadImage(engine, hybridArchive({ ...image, layers }, { repoTag })), failure)
    assert.equal(await inspectImage(engine, repoTag), undefined)
  }),
)
