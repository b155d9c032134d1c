/** Images that lie and places that are taken: each command ends with its code, and leaves nothing that looks whole. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, watch, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { tarFile, writeTar } from '@trusted-pods/platform/tar-writer.ts'
import { MANIFEST } from '../support/hostile-registry.ts'
import { blobPath, type ImageFolder, imageFolder, layoutManifest } from '../support/image-cli.ts'
import { collect, randomTar, sha256Text } from '../support/image-fixture.ts'

interface Refusal {
  /** Spoils the plain layout, or names another source. */
  spoil(files: ImageFolder): Promise<string | undefined>
  code: string
  message: RegExp
  exit?: number
}

const plain = ({ folder }: ImageFolder) => join(folder, 'plain')

/** Puts another manifest in the place of the layout's. */
async function changeManifest(files: ImageFolder, change: (manifest: Record<string, unknown>) => unknown) {
  const manifest = await layoutManifest(plain(files))
  change(manifest)
  await setRoot(files, Buffer.from(JSON.stringify(manifest)), MANIFEST)
  return undefined
}

async function setRoot(files: ImageFolder, bytes: Uint8Array, mediaType: string): Promise<undefined> {
  const digest = sha256Text(bytes)
  await writeFile(blobPath(plain(files), digest), bytes)
  const manifests = [{ mediaType, digest, size: bytes.length }]
  await writeFile(join(plain(files), 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
}

const layerOf = async (files: ImageFolder, i: number) => (await layoutManifest(plain(files))).layers[i]

const refusals: Record<string, Refusal> = {
  'a blob with other bytes': {
    async spoil(files) {
      const { digest, size } = await layerOf(files, 1)
      await writeFile(blobPath(plain(files), digest), Buffer.alloc(size))
      return undefined
    },
    code: 'MANIFEST_IMAGE_INVALID',
    message: /plain: blob sha256:\w+ is sha256:|is not zstd/,
  },
  'a blob that is longer than it says': {
    async spoil(files) {
      const { digest } = await layerOf(files, 2)
      const path = blobPath(plain(files), digest)
      await writeFile(path, Buffer.concat([await readFile(path), Buffer.alloc(100)]))
      return undefined
    },
    code: 'MANIFEST_IMAGE_INVALID',
    message: /is longer than its \d+ bytes/,
  },
  'a blob that is missing': {
    async spoil(files) {
      await rm(blobPath(plain(files), (await layerOf(files, 0)).digest))
      return undefined
    },
    code: 'MANIFEST_IMAGE_INVALID',
    message: /lacks the blob sha256:/,
  },
  'two layers in each other’s place': {
    spoil: (files) => changeManifest(files, (manifest) => (manifest.layers as unknown[]).reverse()),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /layer 1 is sha256:\w+, the config's diff_id says sha256:/,
  },
  'a layer too few': {
    spoil: (files) => changeManifest(files, (manifest) => (manifest.layers as unknown[]).pop()),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /has 3 layers, its config 4 diff_ids/,
  },
  'a layer of a type that is none': {
    spoil: (files) =>
      changeManifest(files, (manifest) =>
        Object.assign((manifest.layers as object[])[0] ?? {}, { mediaType: 'text/x' }),
      ),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /layer 0 has the media type text\/x/,
  },
  'a gzip layer that calls itself zstd': {
    spoil: (files) =>
      changeManifest(files, (manifest) =>
        Object.assign((manifest.layers as object[])[0] ?? {}, {
          mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
        }),
      ),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /layer 0 is not zstd, as its type says/,
  },
  'a digest that would be a path': {
    spoil: (files) =>
      changeManifest(files, (manifest) =>
        Object.assign((manifest.layers as object[])[0] ?? {}, { digest: 'sha256:../../../../etc/passwd' }),
      ),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /wanted sha256:<64 hex digits>/,
  },
  'a manifest of 128 layers': {
    spoil: (files) =>
      changeManifest(files, (manifest) => {
        manifest.layers = Array.from({ length: 128 }, () => (manifest.layers as unknown[])[0])
      }),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /has 128 layers, wanted 1 to 127/,
  },
  'a manifest over 4 MiB': {
    spoil: (files) => setRoot(files, Buffer.alloc(4 * 2 ** 20 + 1, ' '), MANIFEST),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /4194305 bytes, at most 4194304/,
  },
  'an index in an index': {
    async spoil(files) {
      const type = 'application/vnd.oci.image.index.v1+json'
      const entry = { mediaType: type, digest: `sha256:${'0'.repeat(64)}`, size: 2 }
      return setRoot(files, Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry] })), type)
    },
    code: 'MANIFEST_IMAGE_INVALID',
    message: /index\.manifests\[0\] is of type .*index.*, wanted an image manifest/,
  },
  'an artifact that is no image': {
    spoil: (files) => setRoot(files, Buffer.from('{}'), 'application/vnd.example+json'),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /is of type application\/vnd\.example\+json/,
  },
  'a layout without an index': {
    async spoil(files) {
      await rm(join(plain(files), 'index.json'))
      return undefined
    },
    code: 'MANIFEST_IMAGE_NOT_FOUND',
    message: /is no OCI image layout/,
  },
  'a tag that is not there': {
    spoil: async ({ folder }) => `oci:${folder}/plain:v9`,
    code: 'MANIFEST_IMAGE_NOT_FOUND',
    message: /has no image with this tag; it has v1/,
  },
  'an archive that is not there': {
    spoil: async ({ folder }) => `oci-archive:${folder}/nothing.tar`,
    code: 'MANIFEST_IMAGE_NOT_FOUND',
    message: /nothing\.tar cannot be read/,
  },
  'an archive that is no tar': {
    async spoil({ folder }) {
      await writeFile(join(folder, 'a.tar'), Buffer.alloc(10_000, 'x'))
      return `docker-archive:${folder}/a.tar`
    },
    code: 'MANIFEST_IMAGE_INVALID',
    message: /the image archive cannot be read/,
  },
  'an archive that unpacks to a thousand times its size': {
    async spoil({ folder }) {
      const zeros = tarFile('zeros', Buffer.alloc(80 * 2 ** 20))
      await writeFile(join(folder, 'a.tar.gz'), gzipSync(await collect(writeTar([zeros])), { level: 9 }))
      return `docker-archive:${folder}/a.tar.gz`
    },
    code: 'MANIFEST_IMAGE_INVALID',
    message: /unpacks to over 100 times its \d+ bytes/,
  },
  'an archive of two images of which none is named': {
    spoil: (files) => twoImages(files, ''),
    code: 'MANIFEST_IMAGE_INVALID',
    message: /manifest\.json has 2 images, wanted 1; it has acme\/one:1, docker\.io\/acme\/two:latest/,
  },
  'an archive without the image that is named': {
    spoil: (files) => twoImages(files, ':acme/three'),
    code: 'MANIFEST_IMAGE_NOT_FOUND',
    message: /has no image acme\/three; it has acme\/one:1/,
  },
}

/** A docker-archive of two images. @returns its place with `suffix`. */
async function twoImages({ folder }: ImageFolder, suffix: string): Promise<string> {
  const files: ReturnType<typeof tarFile>[] = []
  const manifest: object[] = []
  for (const name of ['acme/one:1', 'docker.io/acme/two:latest']) {
    const tar = await randomTar(1000)
    const config = Buffer.from(
      JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [sha256Text(tar)] } }),
    )
    const at = `${files.length}`
    files.push(tarFile(`${at}.json`, config), tarFile(`${at}/layer.tar`, tar))
    manifest.push({ Config: `${at}.json`, RepoTags: [name], Layers: [`${at}/layer.tar`] })
  }
  files.push(tarFile('manifest.json', Buffer.from(JSON.stringify(manifest))))
  await writeFile(join(folder, 'two.tar'), await collect(writeTar(files)))
  return `docker-archive:${folder}/two.tar${suffix}`
}

for (const [name, { spoil, code, message, exit = 3 }] of Object.entries(refusals)) {
  test(`refused: ${name}`, async (t) => {
    const files = await imageFolder(t)
    const { folder, recipient, tryRun } = files
    const source = (await spoil(files)) ?? `oci:${folder}/plain`
    await mkdir(join(folder, 'out'))
    for (const destination of [`oci:${folder}/out/a`, `oci-archive:${folder}/out/a.tar`]) {
      const ended = await tryRun('encrypt', source, destination, '--recipient', recipient)
      assert.equal(ended.code, exit, ended.stderr)
      const { error } = JSON.parse(ended.stderr.split('\n').at(-2) ?? '')
      assert.equal(error.code, code)
      assert.match(error.message, message)
    }
    assert.deepEqual(await readdir(join(folder, 'out')), [])
  })
}

test('one image of an archive of two is read by its name, short or whole', async (t) => {
  const files = await imageFolder(t, ['gzip'])
  for (const suffix of [':acme/one:1', ':acme/two', ':docker.io/acme/two:latest'])
    await files.run('inspect', await twoImages(files, suffix))
})

test('what is there is not replaced, unless --force says so; other images of a layout stay', async (t) => {
  const { folder, recipient, run, tryRun } = await imageFolder(t, ['gzip'])
  const encrypt = (destination: string, ...flags: string[]) =>
    tryRun('encrypt', `oci:${folder}/plain`, destination, '--recipient', recipient, ...flags)
  for (const destination of [`oci:${folder}/enc:a`, `oci-archive:${folder}/enc.tar`]) {
    assert.equal((await encrypt(destination)).code, 0)
    const before = (await run('inspect', destination)).layers
    const refused = await encrypt(destination)
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /is there already: --force replaces it/)
    assert.deepEqual((await run('inspect', destination)).layers, before)
    assert.equal((await encrypt(destination, '--force')).code, 0)
    assert.notDeepEqual((await run('inspect', destination)).layers, before)
  }
  const first = (await run('inspect', `oci:${folder}/enc:a`)).layers
  assert.equal((await encrypt(`oci:${folder}/enc:b`)).code, 0)
  assert.deepEqual((await run('inspect', `oci:${folder}/enc:a`)).layers, first)
  assert.match((await tryRun('inspect', `oci:${folder}/enc`)).stderr, /has 2 images, name one of them by its tag: a, b/)
})

test('a folder of other things is left alone', async (t) => {
  const { folder, recipient, tryRun } = await imageFolder(t, ['gzip'])
  await mkdir(join(folder, 'photos'))
  await writeFile(join(folder, 'photos', 'cat.jpg'), 'cat')
  const { code, stderr } = await tryRun(
    'encrypt',
    `oci:${folder}/plain`,
    `oci:${folder}/photos`,
    '--recipient',
    recipient,
  )
  assert.equal(code, 3)
  assert.match(stderr, /is not empty, and no OCI image layout/)
  assert.deepEqual(await readdir(join(folder, 'photos')), ['cat.jpg'])
})

test('an encrypted image is not put where its keys are lost, and not encrypted twice', async (t) => {
  const { folder, recipient, run, tryRun } = await imageFolder(t, ['gzip'])
  for (const place of [`docker-archive:${folder}/x.tar`, 'docker-daemon:acme/x']) {
    const { code, stderr } = await tryRun('encrypt', `oci:${folder}/plain`, place, '--recipient', recipient)
    assert.equal(code, 2)
    assert.match(stderr, /cannot keep the keys of an encrypted image/)
  }
  await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/enc`, '--recipient', recipient)
  const twice = await tryRun('encrypt', `oci:${folder}/enc`, `oci:${folder}/enc2`, '--recipient', recipient)
  assert.match(twice.stderr, /layer 0 is encrypted already/)
  const { cid } = await run('publish', `oci:${folder}/enc`)
  const lost = await tryRun('fetch', `ipfs:${cid}`, `docker-archive:${folder}/x.tar`)
  assert.equal(lost.code, 3)
  assert.match(lost.stderr, /cannot keep a layer of type .*\+encrypted/)
  assert.equal((await readdir(folder)).includes('x.tar'), false)
})

test('a program that is killed while it writes leaves nothing under the name', async (t) => {
  const { folder, recipient } = await imageFolder(t, ['none', 'none', 'none'])
  const main = join(dirname(fileURLToPath(import.meta.url)), '../../packages/cli/src/main.ts')
  const args = ['image', 'encrypt', `oci:${folder}/plain`, `oci-archive:${folder}/enc.tar`, '--recipient', recipient]
  const child = spawn(process.execPath, ['--conditions=@trusted-pods/source', main, ...args], {
    env: { HOME: join(folder, 'home') },
  })
  const ended = once(child, 'exit')
  for await (const { filename } of watch(folder)) {
    if (!filename?.startsWith('.trustedpods-')) continue
    child.kill('SIGKILL')
    break
  }
  await ended
  assert.equal((await readdir(folder)).includes('enc.tar'), false)
})

test('what was spooled of an archive is gone when it is read, and when it is refused', async (t) => {
  const { folder, run, tryRun, key, recipient } = await imageFolder(t, ['gzip'])
  await run('encrypt', `oci:${folder}/plain`, `oci-archive:${folder}/enc.tar:v1`, '--recipient', recipient)
  const spool = join(folder, 'spool')
  await mkdir(spool)
  const before = process.env.TMPDIR
  process.env.TMPDIR = spool
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  await run('decrypt', `oci-archive:${folder}/enc.tar`, `docker-archive:${folder}/d.tar:a`, '--key', key)
  await run('inspect', `docker-archive:${folder}/d.tar`)
  assert.equal((await tryRun('inspect', `oci-archive:${folder}/enc.tar:v9`)).code, 3)
  assert.equal((await tryRun('inspect', `docker-archive:${folder}/d.tar:b`)).code, 3)
  assert.equal((await tryRun('inspect', `oci-archive:${folder}/d.tar:a`)).code, 3)
  assert.deepEqual(await readdir(spool), [])
})
