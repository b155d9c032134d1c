import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { OpenedImage } from '@trusted-pods/protocol/image/opened-image.ts'
import { extract } from 'tar-stream'
import { openDockerArchive } from './engine-image-source.ts'
import { hybridArchive } from './hybrid-archive.ts'

const REPO_TAG = 'tpod.invalid/hello:0a0b'
const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of bytes) parts.push(chunk)
  return Buffer.concat(parts)
}

function imageOf(tars: readonly Uint8Array[]): OpenedImage {
  const layers = tars.map((tar) => ({
    diffId: digestOf(tar),
    size: tar.length,
    async *open() {
      yield tar
    },
  }))
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: tars.map(digestOf) } }
  return { digest: digestOf(Buffer.from('manifest')), config: Buffer.from(JSON.stringify(config)), layers }
}

async function filesOf(image: OpenedImage): Promise<Map<string, Buffer>> {
  const extractor = extract()
  extractor.end(await collect(hybridArchive(image, { repoTag: REPO_TAG })))
  const files = new Map<string, Buffer>()
  for await (const entry of extractor) {
    assert.ok(!files.has(entry.header.name), `${entry.header.name} is there twice`)
    files.set(entry.header.name, await collect(entry as AsyncIterable<Uint8Array>))
  }
  return files
}

const parse = (bytes: Buffer | undefined) => JSON.parse((bytes ?? assert.fail()).toString())

test('manifest.json is last and points into an OCI layout whose every digest is true', async () => {
  const tars = [randomBytes(5120), randomBytes(1024)]
  const image = imageOf(tars)
  const files = await filesOf(image)
  assert.deepEqual([...files.keys()].slice(-2), ['index.json', 'manifest.json'])
  for (const [name, bytes] of files)
    if (name.startsWith('blobs/')) assert.equal(name, `blobs/${digestOf(bytes).replace(':', '/')}`)
  const paths = image.layers.map(({ diffId }) => `blobs/${diffId.replace(':', '/')}`)
  const configPath = `blobs/${digestOf(image.config).replace(':', '/')}`
  assert.deepEqual(parse(files.get('manifest.json')), [{ Config: configPath, RepoTags: [REPO_TAG], Layers: paths }])
  assert.deepEqual(files.get(configPath), image.config)
  for (const [i, path] of paths.entries()) assert.deepEqual(files.get(path), tars[i])

  const [descriptor] = parse(files.get('index.json')).manifests
  assert.deepEqual(descriptor.annotations, {
    'io.containerd.image.name': REPO_TAG,
    'org.opencontainers.image.ref.name': '0a0b',
  })
  const manifest = parse(files.get(`blobs/${descriptor.digest.replace(':', '/')}`))
  assert.equal(manifest.config.digest, digestOf(image.config))
  assert.deepEqual(
    manifest.layers,
    image.layers.map(({ diffId, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest: diffId,
      size,
    })),
  )
})

test('a layer that the image has twice is one blob', async () => {
  const tar = randomBytes(1024)
  const files = await filesOf(imageOf([tar, tar]))
  assert.equal(parse(files.get('manifest.json'))[0].Layers.length, 2)
  assert.equal([...files.keys()].filter((name) => name.startsWith('blobs/')).length, 3)
})

test('the archive reads back as the image that it was made of', async () => {
  const tempDir = await mkdtemp(join(tmpdir(), 'tpod-hybrid-'))
  try {
    const image = imageOf([randomBytes(5120), randomBytes(1024)])
    await using source = await openDockerArchive(hybridArchive(image, { repoTag: REPO_TAG }), { name: 'x', tempDir })
    assert.deepEqual(Buffer.from(source.config), Buffer.from(image.config))
    for (const [i, layer] of source.layers.entries())
      assert.deepEqual(await collect(layer.open()), await collect(image.layers[i]?.open() ?? assert.fail()))
  } finally {
    await rm(tempDir, { recursive: true })
  }
})

test('a layer that fails in the middle ends the archive before manifest.json', async () => {
  const [first, second] = imageOf([randomBytes(5120), randomBytes(1024)]).layers
  const failure = new Error('wrong HMAC')
  const failing = {
    ...(second ?? assert.fail()),
    async *open() {
      yield new Uint8Array(512)
      throw failure
    },
  }
  const image = { ...imageOf([]), layers: [first ?? assert.fail(), failing] }
  const seen: Uint8Array[] = []
  const reading = (async () => {
    for await (const chunk of hybridArchive(image, { repoTag: REPO_TAG })) seen.push(chunk)
  })()
  await assert.rejects(reading, failure)
  assert.equal(Buffer.concat(seen).indexOf('manifest.json'), -1)
})
