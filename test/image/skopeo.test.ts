/** Interoperation with skopeo (containers/ocicrypt): it reads what we encrypt and we read what it encrypts. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { zstdDecompressSync } from 'node:zlib'
import { nodeStreamCrypto as crypto } from '@trusted-pods/platform/stream-crypto.ts'
import { CONFIG_TYPE, layerType, MANIFEST_TYPE } from '@trusted-pods/protocol/image/media-types.ts'
import { openImage } from '@trusted-pods/protocol/image/open.ts'
import { publishImage } from '@trusted-pods/protocol/image/publish.ts'
import { MemoryBlockstore } from 'blockstore-core'
import {
  collect,
  encodeConfig,
  type FixtureLayer,
  imageSource,
  packLayer,
  randomTar,
  sha256Text,
} from '../support/image-fixture.ts'
import { layoutToTree, treeToLayout } from '../support/layout-tree.ts'

const LIMITS = { encryptedBytes: 2 ** 30, unpackedBytes: 2 ** 30 }
const skip = hasSkopeo() ? false : 'SKIPPED: skopeo is not installed here, so nothing below was proven against it'
if (skip) console.warn(skip)

function hasSkopeo(): boolean {
  try {
    execFileSync('skopeo', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function skopeoCopy(...args: string[]) {
  await promisify(execFile)('skopeo', ['--insecure-policy', 'copy', '--quiet', ...args])
}

async function withFolder(run: (folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-skopeo-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const blobPath = (folder: string, digest: string) => join(folder, 'blobs', ...digest.split(':'))

async function readManifest(folder: string) {
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'))
  return JSON.parse(await readFile(blobPath(folder, index.manifests[0].digest), 'utf8'))
}

/** An OCI layout in plain text, written here by hand. */
async function writePlainLayout(folder: string, layers: readonly FixtureLayer[]) {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
  const put = async (mediaType: string, bytes: Uint8Array) => {
    const descriptor = { mediaType, digest: sha256Text(bytes), size: bytes.length }
    await writeFile(blobPath(folder, descriptor.digest), bytes)
    return descriptor
  }
  const config = await put(CONFIG_TYPE, encodeConfig(layers.map(({ tar }) => sha256Text(tar))))
  const packed = layers.map(({ tar, compression = 'none' }) => put(layerType(compression), packLayer(tar, compression)))
  const manifest = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: await Promise.all(packed) }
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' }
  const descriptor = await put(MANIFEST_TYPE, Buffer.from(JSON.stringify(manifest)))
  await writeFile(
    join(folder, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...descriptor, annotations }] }),
  )
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

test('skopeo decrypts what we published, byte for byte', { skip }, () =>
  withFolder(async (folder) => {
    const [gzipped, plain, zstd] = [await randomTar(300_000), await randomTar(2_500_000), await randomTar(100_000)]
    const layers = [{ tar: gzipped, compression: 'gzip' }, { tar: plain }, { tar: zstd, compression: 'zstd' }] as const
    const source = imageSource(layers)
    const blockstore = new MemoryBlockstore()
    const { cid, privateKey } = await publishImage(source, { blockstore, crypto })
    await treeToLayout(blockstore, cid, join(folder, 'encrypted'))
    const pem = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(privateKey).toString('base64')}\n-----END PRIVATE KEY-----\n`
    await writeFile(join(folder, 'key.pem'), pem, { mode: 0o600 })
    await skopeoCopy(
      '--decryption-key',
      join(folder, 'key.pem'),
      `oci:${folder}/encrypted:latest`,
      `oci:${folder}/plain:latest`,
    )

    const manifest = await readManifest(join(folder, 'plain'))
    assert.deepEqual(
      await readFile(blobPath(join(folder, 'plain'), manifest.config.digest)),
      Buffer.from(source.config),
    )
    const blobs = await Promise.all(
      manifest.layers.map(({ digest }: { digest: string }) => readFile(blobPath(join(folder, 'plain'), digest))),
    )
    assert.equal(blobs.length, 3)
    assert.ok(blobs[0].equals(await collect(source.layers[0]?.open() ?? assert.fail())), 'gzip layer as it was')
    assert.ok(zstdDecompressSync(blobs[1]).equals(plain), 'plain layer, compressed by us')
    assert.ok(blobs[2].equals(await collect(source.layers[2]?.open() ?? assert.fail())), 'zstd layer as it was')
  }),
)

test('skopeo does not decrypt what we published with another key', { skip }, () =>
  withFolder(async (folder) => {
    const blockstore = new MemoryBlockstore()
    const { cid } = await publishImage(imageSource([{ tar: await randomTar(1000) }]), { blockstore, crypto })
    await treeToLayout(blockstore, cid, join(folder, 'encrypted'))
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    await writeFile(join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await assert.rejects(
      skopeoCopy(
        '--decryption-key',
        join(folder, 'key.pem'),
        `oci:${folder}/encrypted:latest`,
        `oci:${folder}/plain:latest`,
      ),
      /no suitable key/,
    )
  }),
)

/** Keys by which skopeo encrypts, and the private ones that must each open the image. */
const recipients: Record<string, () => { publicKey: KeyObject; privateKey: KeyObject }[]> = {
  'an EC P-256 key': () => [generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  'an RSA key': () => [generateKeyPairSync('rsa', { modulusLength: 2048 })],
  'both keys at once': () => [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ],
}

for (const [name, generate] of Object.entries(recipients)) {
  test(`we open what skopeo encrypted for ${name}`, { skip }, () =>
    withFolder(async (folder) => {
      const tars = [await randomTar(300_000), await randomTar(2_500_000)]
      await writePlainLayout(
        join(folder, 'plain'),
        tars.map((tar) => ({ tar, compression: 'gzip' })),
      )
      const pairs = generate()
      const flags: string[] = []
      for (const [i, { publicKey }] of pairs.entries()) {
        await writeFile(join(folder, `${i}.pem`), publicKey.export({ type: 'spki', format: 'pem' }))
        flags.push('--encryption-key', `jwe:${folder}/${i}.pem`)
      }
      await skopeoCopy(...flags, `oci:${folder}/plain:latest`, `oci:${folder}/encrypted:latest`)

      const blockstore = new MemoryBlockstore()
      const cid = await layoutToTree(join(folder, 'encrypted'), blockstore)
      for (const { privateKey } of pairs) {
        const key = privateKey.export({ type: 'pkcs8', format: 'der' })
        const image = await openImage(blockstore, { cid, privateKey: key, crypto, limits: LIMITS })
        for (const [i, layer] of image.layers.entries()) {
          assert.equal(layer.size, tars[i]?.length)
          assert.ok((await collect(layer.open())).equals(tars[i] ?? assert.fail()), `layer ${i}`)
        }
      }
    }),
  )
}
