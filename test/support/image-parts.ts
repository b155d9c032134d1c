/** A published image taken apart, to be changed as a liar would and put together again. */
import assert from 'node:assert/strict'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { readTreeManifest, resolveBlob, writeBlob, writeImageTree } from '@trusted-pods/protocol/image/image-tree.ts'
import { encryptedLayerType } from '@trusted-pods/protocol/image/media-types.ts'
import { importImageKey } from '@trusted-pods/protocol/image/ocicrypt/image-key.ts'
import { unwrapPrivateOptions, wrapPrivateOptions } from '@trusted-pods/protocol/image/ocicrypt/jwe.ts'
import { toAnnotations } from '@trusted-pods/protocol/image/ocicrypt/layer-annotations.ts'
import { encryptLayer } from '@trusted-pods/protocol/image/ocicrypt/layer-cipher.ts'
import type { PrivateOptions } from '@trusted-pods/protocol/image/ocicrypt/layer-options.ts'
import { type OpenLimits, openImage } from '@trusted-pods/protocol/image/open.ts'
import { type PublishedImage, publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { bytesOf } from '@trusted-pods/protocol/image/to-blocks.ts'
import { streamFile } from '@trusted-pods/protocol/image/unixfs-read.ts'
import { MemoryBlockstore } from 'blockstore-core'
import { CID } from 'multiformats/cid'
import { collect, imageSource, randomTar, sha256Text } from './image-fixture.ts'

export const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }
export const PUBLIC_OPTIONS = 'org.opencontainers.image.enc.pubopts'
export const JWE = 'org.opencontainers.image.enc.keys.jwe'

interface Layer {
  mediaType: string
  digest: string
  size: number
  annotations: Record<string, string>
}

/** A published image taken apart, to be changed and put together again. */
export interface Parts {
  manifest: { schemaVersion: number; mediaType: string; config: Omit<Layer, 'annotations'>; layers: Layer[] }
  config: Uint8Array
  /** Ciphertexts. */
  blobs: Uint8Array[]
}

export interface Fixture {
  readonly blockstore: MemoryBlockstore
  readonly tars: Buffer[]
  readonly published: PublishedImage
}

export async function publishTwoLayers(): Promise<Fixture> {
  const blockstore = new MemoryBlockstore()
  const tars = [await randomTar(50_000), await randomTar(1_500_000)]
  const source = imageSource(tars.map((tar) => ({ tar })))
  return { blockstore, tars, published: await publishImage(source, { blockstore, crypto }) }
}

export async function takeApart({ blockstore, published }: Fixture): Promise<Parts> {
  const root = CID.decode(published.cid)
  const manifest: Parts['manifest'] = JSON.parse(
    Buffer.from((await readTreeManifest(blockstore, root)).bytes).toString(),
  )
  const read = async ({ digest, size }: { digest: string; size: number }) =>
    collect(streamFile(blockstore, await resolveBlob(blockstore, root, digest), { maxBytes: size }))
  return { manifest, config: await read(manifest.config), blobs: await Promise.all(manifest.layers.map(read)) }
}

/** Each blob is filed under the digest that the manifest names, whether that is its own or not. */
export async function putTogether({ blockstore }: Fixture, { manifest, config, blobs }: Parts): Promise<Uint8Array> {
  const stored = [{ ...(await writeBlob(blockstore, config)), digest: manifest.config.digest }]
  for (const [i, blob] of blobs.entries()) {
    const digest = manifest.layers[i]?.digest
    if (digest) stored.push({ ...(await writeBlob(blockstore, blob)), digest })
  }
  return (await writeImageTree(blockstore, Buffer.from(JSON.stringify(manifest)), stored)).cid.bytes
}

export const openFixture = (
  { blockstore, published }: Fixture,
  cid = published.cid,
  options: { privateKey?: Uint8Array; limits?: OpenLimits } = {},
) => openImage(blockstore, { cid, privateKey: published.privateKey, crypto, limits: LIMITS, ...options })

export function setBlob(parts: Parts, i: number, bytes: Uint8Array): void {
  parts.blobs[i] = bytes
  Object.assign(parts.manifest.layers[i] ?? assert.fail(), { digest: sha256Text(bytes), size: bytes.length })
}

export function setConfig(parts: Parts, config: Uint8Array): void {
  parts.config = config
  Object.assign(parts.manifest.config, { digest: sha256Text(config), size: config.length })
}

export function setPublicOptions(parts: Parts, i: number, change: object): void {
  const { annotations } = parts.manifest.layers[i] ?? assert.fail()
  const options = JSON.parse(Buffer.from(annotations[PUBLIC_OPTIONS] ?? '', 'base64').toString())
  annotations[PUBLIC_OPTIONS] = Buffer.from(JSON.stringify({ ...options, ...change })).toString('base64')
}

/** What somebody who holds the public key can do: wrap other private options for the same key. */
export async function setPrivateOptions(
  fixture: Fixture,
  parts: Parts,
  change: Partial<PrivateOptions>,
): Promise<void> {
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
export async function replaceLayer(
  fixture: Fixture,
  parts: Parts,
  packed: Uint8Array,
  mediaType = encryptedLayerType('gzip'),
) {
  const encryption = encryptLayer(imageSource([{ tar: packed }]).layers[0]?.open() ?? assert.fail(), crypto)
  setBlob(parts, 0, await collect(bytesOf(encryption.blocks)))
  const annotations = await toAnnotations(encryption.result(), [await publicKeyOf(fixture)])
  Object.assign(parts.manifest.layers[0] ?? assert.fail(), { annotations, mediaType })
}

export function refusedFor(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, 'PROVISION_IMAGE_REFUSED', error.message)
    assert.match(error.message, message)
    return true
  }
}
