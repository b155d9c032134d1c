/** Archives in the three forms that engines give: Docker 20.10, Podman 4, Docker 25 and later; and archives that lie. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { pack } from 'tar-stream'
import { openDockerArchive } from './engine-image-source.ts'
import { tarFile, writeTar } from './tar-writer.ts'

type Entry = { name: string; bytes: Uint8Array } | { name: string; type: 'symlink' | 'link'; linkname: string }

let tempDir: string
before(async () => {
  tempDir = await mkdtemp(join(tmpdir(), 'tpod-archive-'))
})
after(() => rm(tempDir, { recursive: true }))

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const json = (value: unknown) => Buffer.from(JSON.stringify(value))

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of bytes) parts.push(chunk)
  return Buffer.concat(parts)
}

async function* archive(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  const packer = pack()
  for (const entry of entries) {
    if ('bytes' in entry) packer.entry({ name: entry.name }, Buffer.from(entry.bytes))
    else packer.entry(entry)
  }
  packer.finalize()
  for await (const chunk of packer) if (chunk instanceof Uint8Array) yield chunk
}

const layerTar = () => collect(writeTar([tarFile('data', randomBytes(100_000))]))

function configOf(tars: readonly Uint8Array[]) {
  const diffIds = tars.map((tar) => `sha256:${sha256(tar)}`)
  return json({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } })
}

function open(entries: readonly Entry[]) {
  return openDockerArchive(archive(entries), { name: 'hello:latest', tempDir })
}

async function assertLayers(
  entries: readonly Entry[],
  packed: readonly { bytes: Uint8Array; mediaType: string }[],
  tars: readonly Uint8Array[],
) {
  await using source = await open(entries)
  assert.equal(source.name, 'hello:latest')
  assert.deepEqual(Buffer.from(source.config), configOf(tars))
  assert.equal(source.layers.length, packed.length)
  for (const [i, layer] of source.layers.entries()) {
    assert.equal(layer.mediaType, packed[i]?.mediaType)
    assert.equal(layer.size, packed[i]?.bytes.length)
    assert.equal(layer.diffId, `sha256:${sha256(tars[i] ?? assert.fail())}`)
    for (let round = 0; round < 2; round++)
      assert.ok((await collect(layer.open())).equals(packed[i]?.bytes ?? assert.fail()))
  }
}

const PLAIN = 'application/vnd.oci.image.layer.v1.tar'
const plain = (tars: readonly Uint8Array[]) => tars.map((bytes) => ({ bytes, mediaType: PLAIN }))

async function threeTars() {
  return [await layerTar(), await layerTar(), await layerTar()] as const
}

test('Docker 20.10: a folder for each layer, manifest.json among the last entries', async () => {
  const tars = await threeTars()
  const config = configOf(tars)
  const entries = tars.flatMap((bytes, i) => [
    { name: `${i}/VERSION`, bytes: Buffer.from('1.0') },
    { name: `${i}/json`, bytes: json({ id: `${i}` }) },
    { name: `${i}/layer.tar`, bytes },
  ])
  const manifest = [
    { Config: `${sha256(config)}.json`, RepoTags: ['hello:latest'], Layers: tars.map((_, i) => `${i}/layer.tar`) },
  ]
  await assertLayers(
    [
      ...entries,
      { name: `${sha256(config)}.json`, bytes: config },
      { name: 'manifest.json', bytes: json(manifest) },
      { name: 'repositories', bytes: json({}) },
    ],
    plain(tars),
    tars,
  )
})

test('Docker 20.10: a layer that the image has twice is a link to the first', async () => {
  const tar = await layerTar()
  const config = configOf([tar, tar])
  const manifest = [{ Config: 'c.json', Layers: ['0/layer.tar', '1/layer.tar'] }]
  await assertLayers(
    [
      { name: '0/layer.tar', bytes: tar },
      { name: '1/layer.tar', type: 'symlink', linkname: '../0/layer.tar' },
      { name: 'c.json', bytes: config },
      { name: 'manifest.json', bytes: json(manifest) },
    ],
    plain([tar, tar]),
    [tar, tar],
  )
})

test('Podman 4: layers by diff_id, with symlinks and hard links beside them', async () => {
  const tars = await threeTars()
  const names = tars.map((tar) => `${sha256(tar)}.tar`)
  const links: Entry[] = [
    { name: 'a/layer.tar', type: 'symlink', linkname: `../${names[0]}` },
    { name: 'b/layer.tar', type: 'link', linkname: names[1] ?? '' },
    { name: 'c/layer.tar', type: 'symlink', linkname: './again.tar' },
    { name: 'c/again.tar', type: 'symlink', linkname: `../${names[2]}` },
  ]
  const files = tars.map((bytes, i) => ({ name: names[i] ?? '', bytes }))
  const manifest = [{ Config: './c.json', Layers: ['a/layer.tar', 'b/layer.tar', 'c/layer.tar'] }]
  await assertLayers(
    [{ name: 'manifest.json', bytes: json(manifest) }, ...links, { name: 'c.json', bytes: configOf(tars) }, ...files],
    plain(tars),
    tars,
  )
})

test('Docker 25 and later: an OCI layout with manifest.json, layers compressed or not', async () => {
  const tars = await threeTars()
  const blobs = [tars[0], gzipSync(tars[1]), zstdCompressSync(tars[2])]
  const config = configOf(tars)
  const path = (bytes: Uint8Array) => `blobs/sha256/${sha256(bytes)}`
  const manifest = [{ Config: path(config), RepoTags: ['hello:latest'], Layers: blobs.map(path) }]
  await assertLayers(
    [
      ...blobs.map((bytes) => ({ name: path(bytes), bytes })),
      { name: path(config), bytes: config },
      { name: 'index.json', bytes: json({ schemaVersion: 2, manifests: [] }) },
      { name: 'manifest.json', bytes: json(manifest) },
      { name: 'oci-layout', bytes: json({ imageLayoutVersion: '1.0.0' }) },
    ],
    ['', '+gzip', '+zstd'].map((suffix, i) => ({ bytes: blobs[i] ?? assert.fail(), mediaType: PLAIN + suffix })),
    tars,
  )
})

test('the spool folder is private and gone after dispose, and after a refusal', async () => {
  const tar = await layerTar()
  const manifest = { name: 'manifest.json', bytes: json([{ Config: 'c.json', Layers: ['layer.tar'] }]) }
  const entries = [{ name: 'layer.tar', bytes: tar }, { name: 'c.json', bytes: configOf([tar]) }, manifest]
  const source = await open(entries)
  const [folder] = await readdir(tempDir)
  assert.equal((await stat(join(tempDir, folder ?? assert.fail()))).mode & 0o777, 0o700)
  await source[Symbol.asyncDispose]()
  assert.deepEqual(await readdir(tempDir), [])
  await assert.rejects(open(entries.slice(1)))
  assert.deepEqual(await readdir(tempDir), [])
})

const bad: Record<
  string,
  { change(entries: Record<string, Entry>, tar: Uint8Array): Record<string, Entry | undefined>; message: RegExp }
> = {
  'no manifest.json': { change: () => ({ manifest: undefined }), message: /the archive has no file manifest.json/ },
  'a manifest.json that is not JSON': {
    change: () => ({ manifest: { name: 'manifest.json', bytes: Buffer.from('[') } }),
    message: /manifest.json is not JSON/,
  },
  'a manifest.json of two images': {
    change: () => ({ manifest: { name: 'manifest.json', bytes: json([{}, {}]) } }),
    message: /manifest.json has 2 images, wanted 1/,
  },
  'a manifest.json without Config': {
    change: () => ({ manifest: { name: 'manifest.json', bytes: json([{ Layers: [] }]) } }),
    message: /manifest.json lacks Config or Layers/,
  },
  'a layer that the archive lacks': {
    change: () => ({ layer: undefined }),
    message: /the archive has no file layer.tar/,
  },
  'a path out of the archive': {
    change: () => ({
      manifest: { name: 'manifest.json', bytes: json([{ Config: '../../../../etc/passwd', Layers: ['layer.tar'] }]) },
    }),
    message: /the archive has no file \.\.\/\.\.\/\.\.\/\.\.\/etc\/passwd/,
  },
  'a link out of the archive': {
    change: () => ({ layer: { name: 'layer.tar', type: 'symlink', linkname: '/etc/passwd' } }),
    message: /the archive has no file layer.tar/,
  },
  'a link to itself': {
    change: () => ({ layer: { name: 'layer.tar', type: 'symlink', linkname: 'layer.tar' } }),
    message: /the archive has no file layer.tar/,
  },
  'a layer that is not what its diff_id says': {
    change: () => ({ layer: { name: 'layer.tar', bytes: randomBytes(1024) } }),
    message: /a layer of the archive is sha256:[0-9a-f]{64}, the config's diff_id says/,
  },
  'a layer whose gzip is cut': {
    change: (_, tar) => ({ layer: { name: 'layer.tar', bytes: gzipSync(tar).subarray(0, 100) } }),
    message: /a layer of the archive is not gzip/,
  },
  'more diff_ids than layers': {
    change: (_, tar) => ({ config: { name: 'c.json', bytes: configOf([tar, tar]) } }),
    message: /manifest.json names 1 layers, the config 2 diff_ids/,
  },
  'a config that is none': {
    change: () => ({ config: { name: 'c.json', bytes: json({}) } }),
    message: /config.os is missing/,
  },
  'a config over 4 MiB': {
    change: () => ({ config: { name: 'c.json', bytes: Buffer.alloc(4 * 1024 * 1024 + 1) } }),
    message: /c.json has 4194305 bytes, at most 4194304/,
  },
}

for (const [name, { change, message }] of Object.entries(bad)) {
  test(`refused: ${name}`, async () => {
    const tar = await layerTar()
    const entries: Record<string, Entry> = {
      layer: { name: 'layer.tar', bytes: tar },
      config: { name: 'c.json', bytes: configOf([tar]) },
      manifest: { name: 'manifest.json', bytes: json([{ Config: 'c.json', Layers: ['layer.tar'] }]) },
    }
    const changed = Object.values({ ...entries, ...change(entries, tar) }).filter((entry) => entry !== undefined)
    await assert.rejects(open(changed), invalidFor(message))
  })
}

test('refused: an archive that is cut anywhere, or is none', async () => {
  const tar = await layerTar()
  const bytes = await collect(
    archive([
      { name: 'c.json', bytes: configOf([tar]) },
      { name: 'manifest.json', bytes: json([{ Config: 'c.json', Layers: ['layer.tar'] }]) },
      { name: 'layer.tar', bytes: tar },
    ]),
  )
  const openBytes = (part: Uint8Array) =>
    openDockerArchive(
      (async function* () {
        yield part
      })(),
      { name: 'x', tempDir },
    )
  // The last 1024 bytes only mark the end.
  for (let length = 0; length < bytes.length - 1024; length += 499)
    await assert.rejects(openBytes(bytes.subarray(0, length)), invalidFor(/./), `${length}`)
  await assert.rejects(openBytes(randomBytes(4096)), invalidFor(/the image archive cannot be read/))
  assert.deepEqual(await readdir(tempDir), [])
})

test('an aborted signal ends the reading with its reason', async () => {
  const stop = new AbortController()
  const reason = new Error('enough')
  async function* slow() {
    yield (await collect(archive([{ name: 'a', bytes: randomBytes(10_000) }]))).subarray(0, 5_000)
    stop.abort(reason)
    await new Promise(() => {})
  }
  await assert.rejects(openDockerArchive(slow(), { name: 'x', tempDir, signal: stop.signal }), reason)
  assert.deepEqual(await readdir(tempDir), [])
})

function invalidFor(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, 'MANIFEST_IMAGE_INVALID', error.message)
    assert.match(error.message, message)
    return true
  }
}
