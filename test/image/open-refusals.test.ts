/** Each way of lying about a published image is refused before a byte of it is given out. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { create } from '@bufbuild/protobuf'
import { openFileBlockstore } from '@trusted-pods/platform/file-blockstore.ts'
import { PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { encryptedLayerType, layerType } from '@trusted-pods/protocol/image/media-types.ts'
import { ImageIntake } from '@trusted-pods/provider/image-intake.ts'
import type { ImageRef, PodRuntime } from '@trusted-pods/provider/runtime/pod-runtime.ts'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { blocksOf } from '../support/block-transfer.ts'
import { collect, encodeConfig, sha256Text } from '../support/image-fixture.ts'
import {
  type Fixture,
  JWE,
  LIMITS,
  openFixture,
  type Parts,
  PUBLIC_OPTIONS,
  publishTwoLayers,
  putTogether,
  refusedFor,
  replaceLayer,
  setBlob,
  setConfig,
  setPrivateOptions,
  setPublicOptions,
  takeApart,
} from '../support/image-parts.ts'

test('an untouched image opens after it was taken apart and put together: the tests below fail for their own reason', async () => {
  const fixture = await publishTwoLayers()
  assert.deepEqual(await putTogether(fixture, await takeApart(fixture)), fixture.published.cid)
})

test('a layer of another compression than its media type says is refused', async () => {
  const fixture = await publishTwoLayers()
  const parts = await takeApart(fixture)
  await replaceLayer(fixture, parts, fixture.tars[0] ?? assert.fail())
  await assert.rejects(
    openFixture(fixture, await putTogether(fixture, parts)),
    refusedFor(/layer 0: its plaintext is not gzip/),
  )
})

test('an uncompressed layer that is declared as such opens', async () => {
  const fixture = await publishTwoLayers()
  const parts = await takeApart(fixture)
  await replaceLayer(fixture, parts, fixture.tars[0] ?? assert.fail(), encryptedLayerType('none'))
  const image = await openFixture(fixture, await putTogether(fixture, parts))
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
    lie: (parts) =>
      (parts.blobs[1] = parts.blobs[1]?.map((byte, i) => (i === 700_000 ? byte ^ 1 : byte)) ?? assert.fail()),
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
    check: /layer 0: wrong HMAC|layer 0: its plaintext is not zstd/,
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
      replaceLayer(
        { tars, ...rest },
        parts,
        Buffer.concat([gzipSync(tars[0] ?? assert.fail()), Buffer.alloc(200_000, 7)]),
      ),
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
  'more layers than an engine stacks': {
    lie: ({ manifest, blobs }) => {
      while (manifest.layers.length < 128) manifest.layers.push(manifest.layers[0] ?? assert.fail())
      blobs.length = 2
    },
    check: /has 128 layers, wanted 1 to 127/,
  },
  'a manifest of 5 MiB': {
    lie: ({ manifest }) => Object.assign(manifest, { annotations: { padding: 'x'.repeat(5 * 1024 * 1024) } }),
    check: /image manifest of \d+ bytes, at most 4194304/,
  },
  'a digest that is a path': {
    lie: ({ manifest }) =>
      Object.assign(manifest.layers[0] ?? assert.fail(), { digest: 'sha256:../../../../etc/passwd' }),
    check: /manifest.layers\[0\].digest is .*, wanted sha256:/,
  },
  'a Docker manifest type': {
    lie: ({ manifest }) => (manifest.mediaType = 'application/vnd.docker.distribution.manifest.v2+json'),
    check: /image manifest.mediaType is ".*", wanted application\/vnd.oci.image.manifest.v1\+json/,
  },
}

for (const [name, { lie, check }] of Object.entries(lies)) {
  test(`refused: ${name}`, async () => {
    const fixture = await publishTwoLayers()
    const parts = await takeApart(fixture)
    await lie(parts, fixture)
    await assert.rejects(openFixture(fixture, await putTogether(fixture, parts)), refusedFor(check))
  })
}

test('of none of these lies does an engine hear a word: each is PROVISION_IMAGE_REFUSED before the import', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-intake-'))
  try {
    let imports = 0
    const runtime: Pick<PodRuntime, 'importImage'> = {
      importImage: async () => {
        imports++
        return 'never' as ImageRef
      },
    }
    const intake = new ImageIntake({ folder, coldBytes: 0, runtime, limits: LIMITS })
    for (const [name, { lie }] of Object.entries(lies)) {
      const fixture = await publishTwoLayers()
      const parts = await takeApart(fixture)
      await lie(parts, fixture)
      const cid = await putTogether(fixture, parts)
      const store = await openFileBlockstore(join(folder, 'store'))
      for (const [key, bytes] of await blocksOf(fixture.blockstore)) await store.put(cidOfBlock(key), bytes)
      const image = { cid, privateKey: fixture.published.privateKey }
      const pod = create(PodSchema, { containers: [{ name: 'a', image }] })
      await assert.rejects(intake.open('pod', pod, { signal: new AbortController().signal }), refusedFor(/./), name)
      assert.equal(imports, 0, name)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})

const cidOfBlock = (sha256Hex: string) => CID.createV1(0x55, createDigest(0x12, Buffer.from(sha256Hex, 'hex')))
