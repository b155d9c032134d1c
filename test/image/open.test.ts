/** Opening a published image: what it gives, how often, within which limits, and what a damaged store does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { isDagPb } from '@trusted-pods/protocol/image/block.ts'
import { readTreeManifest } from '@trusted-pods/protocol/image/image-tree.ts'
import { generateImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { CID } from 'multiformats/cid'
import { collect, sha256Text } from '../support/image-fixture.ts'
import { LIMITS, openFixture, publishTwoLayers, refusedFor } from '../support/image-parts.ts'

test('a published image opens, layer by layer, as often as wanted', async () => {
  const fixture = await publishTwoLayers()
  const image = await openFixture(fixture)
  assert.deepEqual(
    image.layers.map(({ diffId }) => diffId),
    fixture.tars.map(sha256Text),
  )
  assert.deepEqual(
    image.layers.map(({ size }) => size),
    fixture.tars.map(({ length }) => length),
  )
  assert.equal(
    image.digest,
    (await readTreeManifest(fixture.blockstore, CID.decode(fixture.published.cid))).descriptor.digest,
  )
  for (let round = 0; round < 2; round++)
    for (const [i, layer] of image.layers.entries())
      assert.ok((await collect(layer.open())).equals(fixture.tars[i] ?? assert.fail()))
})

test('refused: the private key of another image, and one that is none', async () => {
  const fixture = await publishTwoLayers()
  const { privateKey } = await generateImageKey()
  await assert.rejects(openFixture(fixture, undefined, { privateKey }), refusedFor(/no JWE packet opens with this key/))
  await assert.rejects(
    openFixture(fixture, undefined, { privateKey: privateKey.subarray(1) }),
    refusedFor(/does not fit ECDH-ES/),
  )
})

test('refused: more than the limits allow, stored or unpacked, over all layers', async () => {
  const fixture = await publishTwoLayers()
  const unpacked = fixture.tars.reduce((sum, { length }) => sum + length, 0)
  const { bytes } = fixture.published
  const exact = { encryptedBytes: bytes, unpackedBytes: unpacked }
  await openFixture(fixture, undefined, { limits: exact })
  await assert.rejects(
    openFixture(fixture, undefined, { limits: { ...exact, encryptedBytes: bytes - 1 } }),
    refusedFor(/the layers have \d+ bytes, at most \d+/),
  )
  await assert.rejects(
    openFixture(fixture, undefined, { limits: { ...exact, unpackedBytes: unpacked - 1 } }),
    refusedFor(/layer 1: unpacks to over \d+ bytes/),
  )
})

test('refused: a CID that is no tree', async () => {
  const fixture = await publishTwoLayers()
  await assert.rejects(openFixture(fixture, new Uint8Array([1, 2, 3])), refusedFor(/is not a binary CID/))
  await assert.rejects(
    openFixture(fixture, CID.parse('QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n').bytes),
    refusedFor(/version 0/),
  )
})

test('a block that is gone or damaged on the disk is PROVISION_IMAGE_FETCH, not the image’s fault', async () => {
  const fixture = await publishTwoLayers()
  for await (const { cid } of fixture.blockstore.getAll()) {
    const bytes = await collect(
      (async function* () {
        yield* fixture.blockstore.get(cid)
      })(),
    )
    await fixture.blockstore.put(
      cid,
      bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte)),
    )
    const outcome = await openFixture(fixture).then(
      () => undefined,
      (error) => error,
    )
    // IPDR's own directory is the one block that opening does not read.
    if (outcome) assert.equal(outcome.code, 'PROVISION_IMAGE_FETCH', outcome.message)
    await fixture.blockstore.put(cid, bytes)
  }
  await openFixture(fixture)
})

test('a layer that changes after it was verified ends in an error when it is streamed again', async () => {
  const fixture = await publishTwoLayers()
  const image = await openFixture(fixture)
  const leaves: CID[] = []
  for await (const { cid, bytes } of fixture.blockstore.getAll())
    if (
      !isDagPb(cid) &&
      (
        await collect(
          (async function* () {
            yield* bytes
          })(),
        )
      ).length ===
        1024 * 1024
    )
      leaves.push(cid)
  assert.equal(leaves.length, 1)
  await fixture.blockstore.put(leaves[0] ?? assert.fail(), new Uint8Array(1024 * 1024))
  await assert.rejects(collect(image.layers[1]?.open() ?? assert.fail()), { code: 'PROVISION_IMAGE_FETCH' })
})

test('an aborted signal ends the verification with its reason', async () => {
  const { blockstore, published } = await publishTwoLayers()
  const reason = new Error('enough')
  const options = { cid: published.cid, privateKey: published.privateKey, crypto, limits: LIMITS }
  await assert.rejects(openImage(blockstore, { ...options, signal: AbortSignal.abort(reason) }), reason)
})
