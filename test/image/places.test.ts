/**
 * The image commands against outside judges, in both directions at each place: skopeo, buildah, umoci, containerd, and a
 * registry process. Images have layers in gzip, zstd and plain, one of them twice.
 */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { startContainerd } from '../support/containerd-process.ts'
import { blobPath, type ImageFolder, imageFolder, layoutManifest, writeKeyPair } from '../support/image-cli.ts'
import { sha256Text } from '../support/image-fixture.ts'
import { runProgramOf, skipWithout } from '../support/programs.ts'
import { startRegistry } from '../support/registry-process.ts'

const noSkopeo = await skipWithout('skopeo')
const noRegistry = await skipWithout('skopeo', 'docker-registry')
const noUmoci = await skipWithout('umoci')
const noContainerd = await skipWithout('containerd', 'ctr')
const noBuildah = await skipWithout('buildah', 'docker-registry')

const skopeo = (...args: string[]) => runProgramOf('skopeo', ['--insecure-policy', 'copy', '--quiet', ...args])

/** Uncompressed tars of a layout's layers, by their digests. */
async function diffIds(folder: string): Promise<string[]> {
  const { layers } = await layoutManifest(folder)
  return Promise.all(
    layers.map(async ({ digest, mediaType }: { digest: string; mediaType: string }) => {
      const bytes = await readFile(blobPath(folder, digest))
      if (mediaType.endsWith('+gzip')) return sha256Text(gunzipSync(bytes))
      return sha256Text(mediaType.endsWith('+zstd') ? zstdDecompressSync(bytes) : bytes)
    }),
  )
}

async function wantedDiffIds({ folder }: ImageFolder): Promise<string[]> {
  return diffIds(join(folder, 'plain'))
}

/** Places in a folder that both sides can write encrypted images to. */
const LAYOUTS = ['oci', 'oci-archive'] as const

for (const kind of LAYOUTS) {
  test(`${kind}: skopeo decrypts what we encrypt for two recipients, with the key of either`, {
    skip: noSkopeo,
  }, async (t) => {
    const files = await imageFolder(t)
    const { folder, run } = files
    const second = await writeKeyPair(folder, 'second')
    const recipients = ['--recipient', files.recipient, '--recipient', second.recipient]
    await run('encrypt', `oci:${folder}/plain:v1`, `${kind}:${folder}/enc:v2`, ...recipients)
    for (const [i, key] of [files.key, second.key].entries()) {
      await skopeo('--decryption-key', key, `${kind}:${folder}/enc:v2`, `oci:${folder}/out${i}:v1`)
      assert.deepEqual(await diffIds(join(folder, `out${i}`)), await wantedDiffIds(files))
    }
  })

  test(`${kind}: we decrypt what skopeo encrypts for an EC and an RSA key`, { skip: noSkopeo }, async (t) => {
    const files = await imageFolder(t)
    const { folder, run } = files
    const rsa = await writeKeyPair(folder, 'rsa', 'rsa')
    const keys = ['--encryption-key', `jwe:${files.recipient}`, '--encryption-key', `jwe:${rsa.recipient}`]
    await skopeo(...keys, `oci:${folder}/plain:v1`, `${kind}:${folder}/enc:v2`)
    const { encrypted, layers } = await run('inspect', `${kind}:${folder}/enc`)
    assert.equal(encrypted, 'all')
    assert.ok(Array.isArray(layers) && layers.every(({ recipients }) => recipients === 2))
    for (const [i, key] of [files.key, rsa.key].entries()) {
      await run('decrypt', `${kind}:${folder}/enc:v2`, `oci:${folder}/out${i}`, '--key', key)
      assert.deepEqual(await diffIds(join(folder, `out${i}`)), await wantedDiffIds(files))
    }
  })
}

test('what goes through encrypt and decrypt is the same image, byte for byte where nothing had to be compressed', async (t) => {
  const { folder, run, key, recipient, digest } = await imageFolder(t, ['gzip', 'zstd'])
  const encrypted = await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/enc`, '--recipient', recipient)
  assert.notEqual(encrypted.digest, digest)
  const decrypted = await run('decrypt', `oci:${folder}/enc`, `oci:${folder}/dec:v1`, '--key', key)
  assert.deepEqual([decrypted.digest, decrypted.decryptedLayers, decrypted.plainLayers], [digest, 2, 0])
  const { layers } = await layoutManifest(join(folder, 'enc'))
  assert.notEqual(layers[0].digest, layers[1].digest)
  assert.deepEqual(layers[0], layers[2], 'a layer that the image has twice is encrypted once')
})

test('plain tars are compressed by zstd in one frame, or by gzip where that is asked for', async (t) => {
  const files = await imageFolder(t, ['none'])
  const { folder, run, key, recipient } = files
  const [wanted] = await wantedDiffIds(files)
  for (const [format, unpack] of [
    ['zstd', zstdDecompressSync],
    ['gzip', gunzipSync],
  ] as const) {
    const flags = format === 'zstd' ? [] : ['--dest-compress-format', format]
    const enc = `oci:${folder}/enc-${format}`
    await run('encrypt', `oci:${folder}/plain`, enc, '--recipient', recipient, ...flags)
    await run('decrypt', enc, `oci:${folder}/dec-${format}`, '--key', key)
    const [layer] = (await layoutManifest(join(folder, `dec-${format}`))).layers
    assert.equal(layer.mediaType, `application/vnd.oci.image.layer.v1.tar+${format}`)
    // Node's decoder stops after one frame.
    const bytes = await readFile(blobPath(join(folder, `dec-${format}`), layer.digest))
    assert.equal(sha256Text(unpack(bytes)), wanted)
  }
})

test('docker-archive: skopeo reads what we decrypt into it, and we read it as tar, tar.gz and tar.zst', {
  skip: noSkopeo,
}, async (t) => {
  const files = await imageFolder(t)
  const { folder, run, key, recipient } = files
  await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/enc`, '--recipient', recipient)
  await run('decrypt', `oci:${folder}/enc`, `docker-archive:${folder}/a.tar:acme/web:1`, '--key', key)
  await skopeo(`docker-archive:${folder}/a.tar:acme/web:1`, `oci:${folder}/skopeo:v1`)
  assert.deepEqual(await diffIds(join(folder, 'skopeo')), await wantedDiffIds(files))
  const tar = await readFile(join(folder, 'a.tar'))
  await writeFile(join(folder, 'a.tar.gz'), gzipSync(tar))
  await writeFile(join(folder, 'a.tar.zst'), zstdCompressSync(tar))
  for (const archive of ['a.tar', 'a.tar.gz', 'a.tar.zst']) {
    const { layers } = await run('inspect', `docker-archive:${folder}/${archive}:acme/web:1`)
    assert.deepEqual(
      (layers as { digest: string }[]).map(({ digest }) => digest),
      await wantedDiffIds(files),
    )
  }
})

test('docker-archive: we read what skopeo writes', { skip: noSkopeo }, async (t) => {
  const files = await imageFolder(t, ['gzip', 'none'])
  const { folder, run, key, recipient } = files
  await skopeo(`oci:${folder}/plain:v1`, `docker-archive:${folder}/s.tar:acme/web:1`)
  await run('encrypt', `docker-archive:${folder}/s.tar`, `oci:${folder}/enc`, '--recipient', recipient)
  await run('decrypt', `oci:${folder}/enc`, `oci:${folder}/dec`, '--key', key)
  assert.deepEqual(await diffIds(join(folder, 'dec')), await wantedDiffIds(files))
})

for (const password of [false, true]) {
  const where = password ? 'a registry with a password' : 'a registry'
  const login = password ? '--dest-creds=me:sesame' : '--dest-no-creds'
  const sourceLogin = password ? '--src-creds=me:sesame' : '--src-no-creds'

  test(`docker:// ${where}: skopeo and we read each other's encrypted images there`, {
    skip: noRegistry,
  }, async (t) => {
    await using registry = await startRegistry({ password })
    const files = await imageFolder(t)
    const { folder, run, key, recipient } = files
    if (password) await writeLogin(folder, registry.host)
    await run('encrypt', `oci:${folder}/plain`, `docker://${registry.host}/a/ours:1`, '--recipient', recipient)
    const ours = [sourceLogin, '--src-tls-verify=false', '--decryption-key', key]
    await skopeo(...ours, `docker://${registry.host}/a/ours:1`, `oci:${folder}/s:v1`)
    assert.deepEqual(await diffIds(join(folder, 's')), await wantedDiffIds(files))

    const theirs = [login, '--dest-tls-verify=false', '--encryption-key', `jwe:${recipient}`]
    await skopeo(...theirs, `oci:${folder}/plain:v1`, `docker://${registry.host}/a/theirs:1`)
    await run('decrypt', `docker://${registry.host}/a/theirs:1`, `oci:${folder}/o`, '--key', key)
    assert.deepEqual(await diffIds(join(folder, 'o')), await wantedDiffIds(files))

    await run('decrypt', `docker://${registry.host}/a/ours:1`, `docker://${registry.host}/b/plain:1`, '--key', key)
    await skopeo(sourceLogin, '--src-tls-verify=false', `docker://${registry.host}/b/plain:1`, `oci:${folder}/p:v1`)
    assert.deepEqual(await diffIds(join(folder, 'p')), await wantedDiffIds(files))
  })
}

async function writeLogin(folder: string, host: string): Promise<void> {
  await mkdir(join(folder, 'home', '.docker'), { recursive: true })
  const auth = Buffer.from('me:sesame').toString('base64')
  await writeFile(join(folder, 'home', '.docker', 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
}

test('docker://: a registry that wants a password, and none is there', { skip: noRegistry }, async (t) => {
  await using registry = await startRegistry({ password: true })
  const { folder, tryRun, recipient } = await imageFolder(t, ['gzip'])
  const { code, stderr } = await tryRun(
    'encrypt',
    `oci:${folder}/plain`,
    `docker://${registry.host}/a/b`,
    '--recipient',
    recipient,
  )
  assert.equal(code, 2)
  assert.equal(JSON.parse(stderr).error.code, 'PLATFORM_IMAGE_LOGIN')
})

test('docker://: a Docker manifest of a registry is read', { skip: noRegistry }, async (t) => {
  await using registry = await startRegistry()
  const files = await imageFolder(t, ['gzip', 'none'])
  const { folder, run, key, recipient } = files
  const docker = ['--format', 'v2s2', '--dest-tls-verify=false']
  await skopeo(...docker, `oci:${folder}/plain:v1`, `docker://${registry.host}/a/v2s2:1`)
  await run('encrypt', `docker://${registry.host}/a/v2s2:1`, `oci:${folder}/enc`, '--recipient', recipient)
  await run('decrypt', `oci:${folder}/enc`, `oci:${folder}/dec`, '--key', key)
  assert.deepEqual(await diffIds(join(folder, 'dec')), await wantedDiffIds(files))
})

test('umoci unpacks what we decrypt, and we encrypt what umoci writes', { skip: noUmoci }, async (t) => {
  const files = await imageFolder(t, ['gzip', 'none'])
  const { folder, run, key, recipient } = files
  // umoci 0.4.7 knows no zstd.
  const gzip = ['--dest-compress-format', 'gzip', '--recipient', recipient]
  await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/enc`, ...gzip)
  await run('decrypt', `oci:${folder}/enc`, `oci:${folder}/dec:v1`, '--key', key)
  await runProgramOf('umoci', ['unpack', '--rootless', '--image', `${folder}/dec:v1`, `${folder}/bundle`])
  assert.deepEqual((await readdir(join(folder, 'bundle', 'rootfs'))).toSorted(), ['f0', 'f1'])
  await writeFile(join(folder, 'bundle', 'rootfs', 'mine'), 'new')
  await runProgramOf('umoci', ['repack', '--image', `${folder}/dec:v2`, `${folder}/bundle`])
  const written = await run('encrypt', `oci:${folder}/dec:v2`, `oci:${folder}/enc:v2`, '--recipient', recipient)
  assert.equal(written.mediaType, 'application/vnd.oci.image.manifest.v1+json')
  const decrypted = await run('decrypt', `oci:${folder}/enc:v2`, `oci:${folder}/dec:v3`, '--key', key)
  assert.equal(decrypted.decryptedLayers, 3, 'a layer that the image has twice is counted once')
})

test('buildah pulls with its key what we encrypt, and we decrypt what buildah pushes', {
  skip: noBuildah,
}, async (t) => {
  await using registry = await startRegistry()
  const files = await imageFolder(t)
  const { folder, run, key, recipient } = files
  await run('encrypt', `oci:${folder}/plain`, `docker://${registry.host}/a/b:1`, '--recipient', recipient)
  const store = ['--storage-driver', 'vfs', '--root', join(folder, 'store'), '--runroot', join(folder, 'run')]
  const image = `${registry.host}/a/b:1`
  const buildah = (...args: string[]) => runProgramOf('buildah', [...store, ...args])
  await buildah('pull', '--quiet', '--tls-verify=false', '--decryption-key', key, `docker://${image}`)
  await buildah('push', '--quiet', '--encryption-key', `jwe:${recipient}`, image, `oci:${folder}/b:1`)
  await run('decrypt', `oci:${folder}/b:1`, `oci:${folder}/out`, '--key', key)
  assert.deepEqual(await diffIds(join(folder, 'out')), await wantedDiffIds(files))
})

test('containerd takes what we write, encrypted or not, and we read what it exports', {
  skip: noContainerd,
}, async (t) => {
  await using containerd = await startContainerd()
  const files = await imageFolder(t)
  const { folder, run, key, recipient } = files
  await run('encrypt', `oci:${folder}/plain`, `oci-archive:${folder}/enc.tar:v1`, '--recipient', recipient)
  await run('decrypt', `oci-archive:${folder}/enc.tar`, `oci-archive:${folder}/dec.tar:v1`, '--key', key)
  for (const name of ['enc', 'dec']) {
    const base = `tpod.invalid/${name}`
    await containerd.ctr('images', 'import', '--no-unpack', '--base-name', base, join(folder, `${name}.tar`))
    await containerd.ctr('images', 'export', join(folder, `${name}-out.tar`), `${base}:v1`)
    const [before, after] = [`${name}.tar`, `${name}-out.tar`].map((file) =>
      run('inspect', `oci-archive:${folder}/${file}`),
    )
    assert.deepEqual((await after)?.layers, (await before)?.layers)
  }
  await run('decrypt', `oci-archive:${folder}/enc-out.tar`, `oci:${folder}/out`, '--key', key)
  assert.deepEqual(await diffIds(join(folder, 'out')), await wantedDiffIds(files))
})

test('an image of which skopeo has encrypted one layer only is opened, and it is said', {
  skip: noSkopeo,
}, async (t) => {
  const files = await imageFolder(t, ['gzip', 'zstd'])
  const { folder, run, tryRun, key, recipient } = files
  const keys = ['--encryption-key', `jwe:${recipient}`, '--encrypt-layer', '1']
  await skopeo(...keys, `oci:${folder}/plain:v1`, `oci:${folder}/mixed:v1`)
  assert.equal((await run('inspect', `oci:${folder}/mixed`)).encrypted, 'some')
  const { code, stdout, stderr } = await tryRun('decrypt', `oci:${folder}/mixed`, `oci:${folder}/out`, '--key', key)
  assert.equal(code, 0)
  assert.deepEqual([JSON.parse(stdout).decryptedLayers, JSON.parse(stdout).plainLayers], [1, 1])
  assert.match(stderr, /warning: 1 layer of this image was not encrypted: anybody may have put it there/)
  assert.deepEqual(await diffIds(join(folder, 'out')), await wantedDiffIds(files))
  const again = await tryRun('encrypt', `oci:${folder}/mixed`, `oci:${folder}/x`, '--recipient', recipient)
  assert.match(again.stderr, /layer 1 is encrypted already/)
})
