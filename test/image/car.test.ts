/** CAR files out and in; Kubo judges them in car-commands.test.ts. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { CarWriter } from '@ipld/car'
import { exportCar, importCar } from '@trusted-pods/platform/car.ts'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { fails } from '../support/block-transfer.ts'
import { collect, imageSource, randomTar } from '../support/image-fixture.ts'

const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }
const maxBytes = 2 ** 30

async function publish() {
  const blockstore = new MemoryBlockstore()
  const tars = [await randomTar(3_500_000), await randomTar(1000)]
  const published = await publishImage(imageSource(tars.map((tar) => ({ tar }))), { blockstore, crypto })
  return { blockstore, tars, published, car: await collect(exportCar(blockstore, published.cid)) }
}

async function* pieces(bytes: Uint8Array, length = 50_000) {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

async function requireOpens(store: MemoryBlockstore, { tars, published }: Awaited<ReturnType<typeof publish>>) {
  const { cid, privateKey } = published
  const image = await openImage(store, { cid, privateKey, crypto, limits: LIMITS })
  assert.deepEqual(await Promise.all(image.layers.map((layer) => collect(layer.open()))), tars)
}

async function carOf(roots: CID[], blocks: { cid: CID; bytes: Uint8Array }[]): Promise<Buffer> {
  const { writer, out } = CarWriter.create(roots)
  const written = collect(out)
  for (const block of blocks) await writer.put(block)
  await writer.close()
  return written
}

test('an image goes out as a CAR and opens where it came in, to the same CID', async () => {
  const fixture = await publish()
  const store = new MemoryBlockstore()
  assert.deepEqual(await importCar(pieces(fixture.car), store, { maxBytes }), fixture.published.cid)
  await requireOpens(store, fixture)
})

test('refused: falsified blocks, holes, other roots, too many bytes, what is cut or no CAR', async () => {
  const { blockstore, car, published } = await publish()
  const into = (bytes: Uint8Array, limit = maxBytes) =>
    importCar(pieces(bytes), new MemoryBlockstore(), { maxBytes: limit })
  const bent = Buffer.from(car)
  bent[bent.length - 5] = (bent[bent.length - 5] ?? 0) ^ 1
  await assert.rejects(into(bent), fails('PROVISION_IMAGE_REFUSED', /has another hash/))
  await assert.rejects(into(car, 1_000_000), fails('PROVISION_IMAGE_REFUSED', /over 1000000 bytes/))
  const root = CID.decode(published.cid)
  const rootBlock = { cid: root, bytes: await collect(pieces(await firstOf(blockstore.get(root)))) }
  await assert.rejects(into(await carOf([root], [rootBlock])), fails('PROVISION_IMAGE_FETCH', /is missing/))
  await assert.rejects(into(await carOf([], [rootBlock])), fails('PROVISION_IMAGE_REFUSED', /0 roots/))
  await assert.rejects(into(await carOf([root, root], [rootBlock])), fails('PROVISION_IMAGE_REFUSED', /2 roots/))
  const large = randomBytes(2 * 1024 * 1024 + 1)
  const tooLarge = { cid: CID.createV1(raw.code, await sha256.digest(large)), bytes: large }
  await assert.rejects(into(await carOf([root], [tooLarge])), fails('PROVISION_IMAGE_REFUSED', /at most 2097152/))
  for (const end of [0, 1, 40, 70, 2_000_000])
    await assert.rejects(into(car.subarray(0, end)), /CAR|is missing/, `${end}`)
})

async function firstOf(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Uint8Array> {
  for await (const chunk of bytes) return chunk
  return assert.fail('nothing there')
}

test('the tree of a missing block is not exported as if it were whole', async () => {
  const { blockstore, published } = await publish()
  for await (const { cid, bytes } of blockstore.getAll()) {
    let length = 0
    for await (const chunk of bytes) length += chunk.length
    if (length === 1024 * 1024) {
      await blockstore.delete(cid)
      break
    }
  }
  await assert.rejects(collect(exportCar(blockstore, published.cid)), /is missing/)
})
