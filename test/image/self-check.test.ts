/** Nothing goes out that is not ciphertext for the image's key. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { layerType } from '@trusted-pods/protocol/image/media-types.ts'
import { generateImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { checkEncrypted } from '@trusted-pods/protocol/image/self-check.ts'
import type { StreamCrypto } from '@trusted-pods/protocol/image/stream-crypto.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { CID } from 'multiformats/cid'
import { imageSource, randomTar } from '../support/image-fixture.ts'
import { type Fixture, type Parts, publishTwoLayers, putTogether, setBlob, takeApart } from '../support/image-parts.ts'

async function check(fixture: Fixture, change: (parts: Parts, fixture: Fixture) => void, privateKey?: Uint8Array) {
  const parts = await takeApart(fixture)
  change(parts, fixture)
  const root = CID.decode(await putTogether(fixture, parts))
  const key = privateKey ?? fixture.published.privateKey
  await checkEncrypted(fixture.blockstore, root, { privateKey: key, crypto, layers: 2 })
}

test('what was published passes', async () => check(await publishTwoLayers(), () => {}))

test('refused: plaintext under an encrypted layer’s name, a plain layer, another key, a layer too few', async () => {
  const fixture = await publishTwoLayers()
  const tar = gzipSync(fixture.tars[0] ?? assert.fail())
  await assert.rejects(
    check(fixture, (parts) => setBlob(parts, 0, tar)),
    /layer 0: what was stored is no zstd layer encrypted for the image's key/,
  )
  await assert.rejects(
    check(fixture, ({ manifest }) => Object.assign(manifest.layers[1] ?? {}, { mediaType: layerType('gzip') })),
    /layer 1 has the type .* which is not encrypted/,
  )
  const { privateKey } = await generateImageKey()
  await assert.rejects(
    check(fixture, () => {}, privateKey),
    /no JWE packet opens/,
  )
  await assert.rejects(
    check(fixture, ({ manifest }) => manifest.layers.pop()),
    /has 1 layers, wanted 2/,
  )
})

test('a cipher that lets the plaintext through publishes nothing', async () => {
  const broken: StreamCrypto = { ...crypto, aes256Ctr: () => ({ update: (bytes) => Uint8Array.from(bytes) }) }
  const source = imageSource([{ tar: await randomTar(1000) }])
  await assert.rejects(publishImage(source, { blockstore: new MemoryBlockstore(), crypto: broken }), (error) => {
    assert.ok(error instanceof TrustedPodsError)
    assert.equal(error.code, 'MANIFEST_IMAGE_INVALID')
    return true
  })
})
