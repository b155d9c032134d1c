/** Opening a published image: what fits opens, and each way of lying about it is refused before a byte is given out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { isDagPb } from '@trusted-pods/protocol/image/block.ts'
import { readTreeManifest, resolveBlob, writeBlob, writeImageTree } from '@trusted-pods/protocol/image/image-tree.ts'
import { encryptedLayerType, layerType } from '@trusted-pods/protocol/image/media-types.ts'
import { type OpenLimits, openImage } from '@trusted-pods/protocol/image/open.ts'
import { generateImageKey, importImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { unwrapPrivateOptions, wrapPrivateOptions } from '@trusted-pods/protocol/image/ocicrypt/jwe.ts'
import { encryptLayer } from '@trusted-pods/protocol/image/ocicrypt/layer-cipher.ts'
import { toAnnotations } from '@trusted-pods/protocol/image/ocicrypt/layer-annotations.ts'
import type { PrivateOptions } from '@trusted-pods/protocol/image/ocicrypt/layer-options.ts'
import { type PublishedImage, publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { streamFile } from '@trusted-pods/protocol/image/unixfs-read.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { CID } from 'multiformats/cid'
import { collect, encodeConfig, imageSource, randomTar, sha256Text } from '../support/image-fixture.ts'

const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }
const PUBLIC_OPTIONS = 'org.opencontainers.image.enc.pubopts'
const JWE = 'org.opencontainers.image.enc.keys.jwe'

interface Layer {
  mediaType: string
  digest: string
  size: number
  annotations: Record<string, string>
}

/** A published image taken apart, to be changed and put together again. */
interface Parts {
  manifest: { schemaVersion: number; mediaType: string; config: Omit<Layer, 'annotations'>; layers: Layer[] }
  config: Uint8Array
  /** Ciphertexts. */
  blobs: Uint8Array[]
}

interface Fixture {
  readonly blockstore: MemoryBlockstore
  readonly tars: Buffer[]
  readonly published: PublishedImage
}

async function publishFixture(): Promise<Fixture> {
  const blockstore = new MemoryBlockstore()
  const tars = [await randomTar(50_000), await randomTar(1_500_000)]
  const source = imageSource(tars.map((tar) => ({ tar })))
  return { blockstore, tars, published: await publishImage(source, { blockstore, crypto }) }
}

async function takeApart({ blockstore, published }: Fixture): Promise<Parts> {
  const root = CID.decode(published.cid)
  const manifest: Parts['manifest'] = JSON.parse(Buffer.from((await readTreeManifest(blockstore, root)).bytes).toString())
  const read = async ({ digest, size }: { digest: string; size: number }) =>
    collect(streamFile(blockstore, await resolveBlob(blockstore, root, digest), { maxBytes: size }))
  return { manifest, config: await read(manifest.config), blobs: await Promise.all(manifest.layers.map(read)) }
}

/** Each blob is filed under the digest that the manifest names, whether that is its own or not. */
async function putTogether({ blockstore }: Fixture, { manifest, config, blobs }: Parts): Promise<Uint8Array> {
  const stored = [{ ...(await writeBlob(blockstore, config)), digest: manifest.config.digest }]
  for (const [i, blob] of blobs.entries()) {
    const digest = manifest.layers[i]?.digest
    if (digest) stored.push({ ...(await writeBlob(blockstore, blob)), digest })
  }
  return (await writeImageTree(blockstore, Buffer.from(JSON.stringify(manifest)), stored)).cid.bytes
}

const open = ({ blockstore, published }: Fixture, cid = published.cid, options: { privateKey?: Uint8Array; limits?: OpenLimits } = {}) =>
  openImage(blockstore, { cid, privateKey: published.privateKey, crypto, limits: LIMITS, ...options })

function setBlob(parts: Parts, i: number, bytes: Uint8Array): void {
  parts.blobs[i] = bytes
  Object.assign(parts.manifest.layers[i] ?? assert.fail(), { digest: sha256Text(bytes), size: bytes.length })
}

function setConfig(parts: Parts, config: Uint8Array): void {
  parts.config = config
  Object.assign(parts.manifest.config, { digest: sha256Text(config), size: config.length })
}

function setPublicOptions(parts: Parts, i: number, change: object): void {
  const { annotations } = parts.manifest.layers[i] ?? assert.fail()
  const options = JSON.parse(Buffer.from(annotations[PUBLIC_OPTIONS] ?? '', 'base64').toString())
  annotations[PUBLIC_OPTIONS] = Buffer.from(JSON.stringify({ ...options, ...change })).toString('base64')
}

/** What somebody who holds the public key can do: wrap other private options for the same key. */
async function setPrivateOptions(fixture: Fixture, parts: Parts, change: Partial<PrivateOptions>): Promise<void> {
  const { annotations } = parts.manifest.layers[0] ?? assert.fail()
  const options = await unwrapPrivateOptions(annotations[JWE] ?? '', importImageKey(fixture.published.privateKey))
  annotations[JWE] = await wrapPrivateOptions({ ...options, ...change }, await publicKeyOf(fixture))
}

async function publicKeyOf({ published }: Fixture): Promise<CryptoKey> {
  const algorithm = { name: 'ECDH', namedCurve: 'P-256' }
  const { subtle } = globalThis.crypto
  const privateKey = await subtle.importKey('pkcs8', Buffer.from(published.privateKey), algorithm, true, ['deriveBits'])
  const { d: _, key_ops: __, ...jwk } = await subtle.exportKey('jwk', privateKey)
  return subtle.importKey('jwk', jwk, algorithm, true, [])
}

/** Layer 0 replaced by one that is encrypted well, for the right key, over this content. */
async function replaceLayer(fixture: Fixture, parts: Parts, packed: Uint8Array, mediaType = encryptedLayerType('gzip')) {
  const encryption = encryptLayer(imageSource([{ tar: packed }]).layers[0]?.open() ?? assert.fail(), crypto)
  setBlob(parts, 0, await collect(encryption.ciphertext))
  const annotations = await toAnnotations(encryption.result(), await publicKeyOf(fixture))
  Object.assign(parts.manifest.layers[0] ?? assert.fail(), { annotations, mediaType })
}

function refusedFor(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, 'PROVISION_IMAGE_REFUSED', error.message)
    assert.match(error.message, message)
    return true
  }
}

test('a published image opens, layer by layer, as often as wanted', async () => {
  const fixture = await publishFixture()
  const image = await open(fixture)
  assert.deepEqual(image.layers.map(({ diffId }) => diffId), fixture.tars.map(sha256Text))
  assert.deepEqual(image.layers.map(({ size }) => size), fixture.tars.map(({ length }) => length))
  assert.equal(image.digest, (await readTreeManifest(fixture.blockstore, CID.decode(fixture.published.cid))).descriptor.digest)
  for (let round = 0; round < 2; round++)
    for (const [i, layer] of image.layers.entries()) assert.ok((await collect(layer.open())).equals(fixture.tars[i] ?? assert.fail()))
})

test('an untouched image opens after it was taken apart and put together: the tests below fail for their own reason', async () => {
  const fixture = await publishFixture()
  assert.deepEqual(await putTogether(fixture, await takeApart(fixture)), fixture.published.cid)
})

test('a layer of another compression than its media type says is refused', async () => {
  const fixture = await publishFixture()
  const parts = await takeApart(fixture)
  await replaceLayer(fixture, parts, fixture.tars[0] ?? assert.fail())
  await assert.rejects(open(fixture, await putTogether(fixture, parts)), refusedFor(/layer 0: its plaintext is not gzip/))
})

test('an uncompressed layer that is declared as such opens', async () => {
  const fixture = await publishFixture()
  const parts = await takeApart(fixture)
  await replaceLayer(fixture, parts, fixture.tars[0] ?? assert.fail(), encryptedLayerType('none'))
  const image = await open(fixture, await putTogether(fixture, parts))
  assert.ok((await collect(image.layers[0]?.open() ?? assert.fail())).equals(fixture.tars[0] ?? assert.fail()))
})

/** One lie each, and the check that must catch it. */
const lies: Record<string, { lie(parts: Parts, fixture: Fixture): unknown; check: RegExp }> = {
  'swapped layers': {
    lie: (parts) => {
      parts.manifest.layers.reverse()
      parts.blobs.reverse()
    },
    check: /layer 0: its tar is sha256:[0-9a-f]{64}, the config's diff_id says sha256:/,
  },
  'a wrong HMAC': {
    lie: (parts) => setPublicOptions(parts, 0, { hmac: Buffer.alloc(32).toString('base64') }),
    check: /layer 0: wrong HMAC/,
  },
  'a truncated ciphertext that its descriptor fits': {
    lie: (parts) => setBlob(parts, 0, parts.blobs[0]?.subarray(0, -1) ?? assert.fail()),
    check: /layer 0: wrong HMAC/,
  },
  'a truncated ciphertext under the old descriptor': {
    lie: (parts) => (parts.blobs[0] = parts.blobs[0]?.subarray(0, -1) ?? assert.fail()),
    check: /layer 0: \d+ bytes, its descriptor says \d+/,
  },
  'a ciphertext that is longer than its descriptor says': {
    lie: (parts) => (parts.blobs[0] = Buffer.concat([parts.blobs[0] ?? assert.fail(), Buffer.alloc(1)])),
    check: /is longer than \d+ bytes/,
  },
  'a changed ciphertext under the old descriptor': {
    lie: (parts) => (parts.blobs[1] = parts.blobs[1]?.map((byte, i) => (i === 700_000 ? byte ^ 1 : byte)) ?? assert.fail()),
    check: /layer 1: ciphertext is sha256:[0-9a-f]{64}, its descriptor says/,
  },
  'a descriptor that lies about its size': {
    lie: ({ manifest }) => Object.assign(manifest.layers[0] ?? assert.fail(), { size: 1_000_000 }),
    check: /layer 0: \d+ bytes, its descriptor says 1000000/,
  },
  'a public nonce that overrides the private one': {
    lie: (parts) => setPublicOptions(parts, 0, { cipheroptions: { nonce: Buffer.alloc(16).toString('base64') } }),
    check: /public cipheroptions hold nonce, must be empty/,
  },
  'another cipher': {
    lie: (parts) => setPublicOptions(parts, 0, { cipher: 'AES_128_CTR' }),
    check: /cipher "AES_128_CTR", wanted AES_256_CTR_HMAC_SHA256/,
  },
  'a nonce of 12 bytes': {
    lie: (parts, fixture) => setPrivateOptions(fixture, parts, { nonce: new Uint8Array(12) }),
    check: /nonce has 12 bytes, wanted 16/,
  },
  'a key of 16 bytes': {
    lie: (parts, fixture) => setPrivateOptions(fixture, parts, { symmetricKey: new Uint8Array(16) }),
    check: /symkey has 16 bytes, wanted 32/,
  },
  'another key of the right length': {
    lie: (parts, fixture) => setPrivateOptions(fixture, parts, { symmetricKey: new Uint8Array(32) }),
    check: /layer 0: wrong HMAC|layer 0: its plaintext is not gzip/,
  },
  'a wrong private digest': {
    lie: (parts, fixture) => setPrivateOptions(fixture, parts, { digest: sha256Text(Buffer.from('other')) }),
    check: /layer 0: wrong digest of the plaintext/,
  },
  'no private digest': {
    lie: (parts, fixture) => setPrivateOptions(fixture, parts, { digest: '' }),
    check: /no sha256 digest of the plaintext/,
  },
  'a gzip bomb': {
    lie: (parts, fixture) => replaceLayer(fixture, parts, gzipSync(Buffer.alloc(64 * 1024 * 1024))),
    check: /layer 0: unpacks to over 100 times its \d+ bytes/,
  },
  'bytes after the end of the gzip stream': {
    lie: (parts, { tars, ...rest }) =>
      replaceLayer({ tars, ...rest }, parts, Buffer.concat([gzipSync(tars[0] ?? assert.fail()), Buffer.alloc(200_000, 7)])),
    check: /layer 0: (bytes after the end of its gzip stream|its plaintext is not gzip)/,
  },
  'a truncated gzip stream': {
    lie: (parts, fixture) => replaceLayer(fixture, parts, gzipSync(fixture.tars[0] ?? assert.fail()).subarray(0, -4)),
    check: /layer 0: its plaintext is not gzip/,
  },
  'a plain layer slipped in': {
    lie: (parts, { tars }) => {
      setBlob(parts, 0, gzipSync(tars[0] ?? assert.fail()))
      Object.assign(parts.manifest.layers[0] ?? assert.fail(), { mediaType: layerType('gzip'), annotations: {} })
    },
    check: /layer 0 has the media type application\/vnd.oci.image.layer.v1.tar\+gzip, wanted an encrypted OCI layer/,
  },
  'a layer too few': {
    lie: (parts) => {
      parts.manifest.layers.pop()
      parts.blobs.pop()
    },
    check: /has 1 layers, the config 2 diff_ids/,
  },
  'a layer twice': {
    lie: ({ manifest }) => manifest.layers.push(manifest.layers[0] ?? assert.fail()),
    check: /has 3 layers, the config 2 diff_ids/,
  },
  'no layer at all': {
    lie: (parts) => {
      parts.manifest.layers = []
      setConfig(parts, encodeConfig([]))
    },
    check: /has 0 layers, wanted 1 to 127/,
  },
  'the diff_ids of another image over empty layers': {
    lie: async (parts, fixture) => {
      setConfig(parts, encodeConfig([sha256Text(Buffer.from('victim')), sha256Text(Buffer.from('victim 2'))]))
      await replaceLayer(fixture, parts, gzipSync(Buffer.alloc(1024)))
    },
    check: /layer 0: its tar is sha256:[0-9a-f]{64}, the config's diff_id says sha256:/,
  },
  'a config under the wrong digest': {
    lie: (parts) => (parts.config = Buffer.from(Buffer.from(parts.config).toString().replace('/hello', '/jello'))),
    check: /blob sha256:[0-9a-f]{64} is sha256:/,
  },
  'a config for another operating system': {
    lie: (parts, { tars }) => setConfig(parts, encodeConfig(tars.map(sha256Text), { os: 'windows' })),
    check: /config.os is "windows", wanted linux/,
  },
  'no wrapped key': {
    lie: ({ manifest }) => delete manifest.layers[0]?.annotations[JWE],
    check: /wrapped for no JWE key/,
  },
  'no public options': {
    lie: ({ manifest }) => delete manifest.layers[0]?.annotations[PUBLIC_OPTIONS],
    check: /no annotation org.opencontainers.image.enc.pubopts/,
  },
  'a Docker manifest type': {
    lie: ({ manifest }) => (manifest.mediaType = 'application/vnd.docker.distribution.manifest.v2+json'),
    check: /image manifest.mediaType is ".*", wanted application\/vnd.oci.image.manifest.v1\+json/,
  },
}

for (const [name, { lie, check }] of Object.entries(lies)) {
  test(`refused: ${name}`, async () => {
    const fixture = await publishFixture()
    const parts = await takeApart(fixture)
    await lie(parts, fixture)
    await assert.rejects(open(fixture, await putTogether(fixture, parts)), refusedFor(check))
  })
}

test('refused: the private key of another image, and one that is none', async () => {
  const fixture = await publishFixture()
  const { privateKey } = await generateImageKey()
  await assert.rejects(open(fixture, undefined, { privateKey }), refusedFor(/no JWE packet opens with this key/))
  await assert.rejects(open(fixture, undefined, { privateKey: privateKey.subarray(1) }), refusedFor(/does not fit ECDH-ES/))
})

test('refused: more than the limits allow, stored or unpacked, over all layers', async () => {
  const fixture = await publishFixture()
  const unpacked = fixture.tars.reduce((sum, { length }) => sum + length, 0)
  const { bytes } = fixture.published
  const exact = { encryptedBytes: bytes, unpackedBytes: unpacked }
  await open(fixture, undefined, { limits: exact })
  await assert.rejects(
    open(fixture, undefined, { limits: { ...exact, encryptedBytes: bytes - 1 } }),
    refusedFor(/the layers have \d+ bytes, at most \d+/),
  )
  await assert.rejects(
    open(fixture, undefined, { limits: { ...exact, unpackedBytes: unpacked - 1 } }),
    refusedFor(/layer 1: unpacks to over \d+ bytes/),
  )
})

test('refused: a CID that is no tree', async () => {
  const fixture = await publishFixture()
  await assert.rejects(open(fixture, new Uint8Array([1, 2, 3])), refusedFor(/is not a binary CID/))
  await assert.rejects(open(fixture, CID.parse('QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n').bytes), refusedFor(/version 0/))
})

test('a block that is gone or damaged on the disk is PROVISION_IMAGE_FETCH, not the image’s fault', async () => {
  const fixture = await publishFixture()
  for await (const { cid } of fixture.blockstore.getAll()) {
    const bytes = await collect((async function* () { yield* fixture.blockstore.get(cid) })())
    await fixture.blockstore.put(cid, bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte)))
    const outcome = await open(fixture).then(() => undefined, (error) => error)
    // IPDR's own directory is the one block that opening does not read.
    if (outcome) assert.equal(outcome.code, 'PROVISION_IMAGE_FETCH', outcome.message)
    await fixture.blockstore.put(cid, bytes)
  }
  await open(fixture)
})

test('a layer that changes after it was verified ends in an error when it is streamed again', async () => {
  const fixture = await publishFixture()
  const image = await open(fixture)
  const leaves: CID[] = []
  for await (const { cid, bytes } of fixture.blockstore.getAll())
    if (!isDagPb(cid) && (await collect((async function* () { yield* bytes })())).length === 1024 * 1024) leaves.push(cid)
  assert.equal(leaves.length, 1)
  await fixture.blockstore.put(leaves[0] ?? assert.fail(), new Uint8Array(1024 * 1024))
  await assert.rejects(collect(image.layers[1]?.open() ?? assert.fail()), { code: 'PROVISION_IMAGE_FETCH' })
})

test('an aborted signal ends the verification with its reason', async () => {
  const { blockstore, published } = await publishFixture()
  const reason = new Error('enough')
  const options = { cid: published.cid, privateKey: published.privateKey, crypto, limits: LIMITS }
  await assert.rejects(openImage(blockstore, { ...options, signal: AbortSignal.abort(reason) }), reason)
})
