/** Images of several platforms with attestations, as BuildKit writes them: one is picked, or all are kept. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { INDEX, MANIFEST } from '../support/hostile-registry.ts'
import { blobPath, imageFolder } from '../support/image-cli.ts'
import { encodeConfig, packLayer, randomTar, sha256Text } from '../support/image-fixture.ts'
import { runProgramOf, skipWithout } from '../support/programs.ts'
import { startRegistry } from '../support/registry-process.ts'

const noRegistry = await skipWithout('skopeo', 'docker-registry')
const IN_TOTO = 'application/vnd.in-toto+json'

interface Entry {
  mediaType: string
  digest: string
  size: number
  platform?: { os: string; architecture: string; variant?: string }
  annotations?: Record<string, string>
}

/** Puts an index for amd64 and arm64/v8, which share their base, into the layout `plain`; and what BuildKit attests of amd64. */
async function multiPlatform(t: TestContext, { attested = true } = {}) {
  const files = await imageFolder(t, ['gzip'])
  const folder = join(files.folder, 'plain')
  const put = async (mediaType: string, bytes: Uint8Array): Promise<Entry> => {
    await writeFile(blobPath(folder, sha256Text(bytes)), bytes)
    return { mediaType, digest: sha256Text(bytes), size: bytes.length }
  }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  const base = await randomTar(200_000, 'base')
  const image = async (architecture: string) => {
    const own = await randomTar(50_000, architecture)
    const config = encodeConfig([sha256Text(base), sha256Text(own)], { architecture })
    const layers = [base, own].map((tar) => put('application/vnd.oci.image.layer.v1.tar+gzip', packLayer(tar, 'gzip')))
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: await put('application/vnd.oci.image.config.v1+json', config),
      layers: await Promise.all(layers),
      annotations: { 'org.example.kept': architecture },
    }
    return put(MANIFEST, json(manifest))
  }
  const [amd64, arm64] = [await image('amd64'), await image('arm64')]
  const manifests: Entry[] = [
    { ...amd64, platform: { os: 'linux', architecture: 'amd64' } },
    { ...arm64, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
  ]
  if (attested) {
    const statement = await put(IN_TOTO, json({ predicateType: 'https://slsa.dev/provenance/v0.2', subject: [] }))
    const config = await put(
      'application/vnd.oci.image.config.v1+json',
      json({ os: 'unknown', rootfs: { diff_ids: [] } }),
    )
    const attestation = await put(
      MANIFEST,
      json({ schemaVersion: 2, mediaType: MANIFEST, config, layers: [statement] }),
    )
    const annotations = {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': amd64.digest,
    }
    manifests.push({ ...attestation, platform: { os: 'unknown', architecture: 'unknown' }, annotations })
  }
  const index = await put(INDEX, json({ schemaVersion: 2, mediaType: INDEX, manifests }))
  const annotations = { 'org.opencontainers.image.ref.name': 'multi' }
  await writeFile(join(folder, 'index.json'), json({ schemaVersion: 2, manifests: [{ ...index, annotations }] }))
  return { ...files, source: `oci:${folder}:multi`, manifests, index }
}

async function readIndex(folder: string): Promise<{ manifests: Entry[] }> {
  const { manifests } = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'))
  return JSON.parse(await readFile(blobPath(folder, manifests[0].digest), 'utf8'))
}

const readJson = async (folder: string, { digest }: { digest: string }) =>
  JSON.parse(await readFile(blobPath(folder, digest), 'utf8'))

test('amd64 is picked unless another platform is asked for; a platform that is not there is refused with what is', async (t) => {
  const { folder, source, recipient, run, tryRun } = await multiPlatform(t)
  const { platforms } = await run('inspect', source)
  assert.deepEqual(
    (platforms as { platform: string }[]).map(({ platform }) => platform),
    ['linux/amd64', 'linux/arm64/v8', 'attestation'],
  )
  await run('encrypt', source, `oci:${folder}/a`, '--recipient', recipient)
  assert.equal((await run('inspect', `oci:${folder}/a`)).platform, 'linux/amd64')
  await run('encrypt', source, `oci:${folder}/b`, '--recipient', recipient, '--platform', 'linux/arm64')
  assert.equal((await run('inspect', `oci:${folder}/b`)).platform, 'linux/arm64')
  const none = await tryRun('encrypt', source, `oci:${folder}/c`, '--recipient', recipient, '--platform', 'linux/s390x')
  assert.equal(none.code, 3)
  assert.match(none.stderr, /no image for linux\/s390x, it has linux\/amd64, linux\/arm64\/v8: --platform/)
  const single = await tryRun('inspect', `oci:${folder}/a`, '--platform', 'linux/arm64')
  assert.match(single.stderr, /is for linux\/amd64, wanted linux\/arm64/)
})

test('--all keeps every platform, a layer that they share stays one, attestations point at the new manifests', async (t) => {
  const { folder, source, key, recipient, run, manifests, index } = await multiPlatform(t)
  await run('encrypt', source, `oci:${folder}/enc`, '--recipient', recipient, '--all')
  const encrypted = await readIndex(join(folder, 'enc'))
  assert.deepEqual(
    encrypted.manifests.map(({ platform }) => platform),
    manifests.map(({ platform }) => platform),
  )
  const [amd64, arm64, attestation] = encrypted.manifests
  const [a, b] = await Promise.all([amd64, arm64].map((entry) => readJson(join(folder, 'enc'), entry ?? assert.fail())))
  assert.equal(a.layers[0].digest, b.layers[0].digest)
  assert.notEqual(a.layers[1].digest, b.layers[1].digest)
  assert.equal(a.annotations['org.example.kept'], 'amd64')
  assert.equal(attestation?.annotations?.['vnd.docker.reference.digest'], amd64?.digest)
  assert.equal(attestation?.digest, manifests[2]?.digest)
  const decrypted = await run('decrypt', `oci:${folder}/enc`, `oci:${folder}/dec`, '--key', key, '--all')
  assert.equal(decrypted.digest, index.digest)
  assert.deepEqual(await readIndex(join(folder, 'dec')), { schemaVersion: 2, mediaType: INDEX, manifests })
})

test('an index cannot go where one image is wanted', async (t) => {
  const { folder, source, key, recipient, run, tryRun } = await multiPlatform(t)
  await run('encrypt', source, `oci:${folder}/enc`, '--recipient', recipient, '--all')
  const { code, stderr } = await tryRun(
    'decrypt',
    `oci:${folder}/enc`,
    `docker-archive:${folder}/x.tar`,
    '--key',
    key,
    '--all',
  )
  assert.equal(code, 3)
  assert.match(stderr, /takes one platform: leave out --all/)
})

test('skopeo decrypts every platform of an index that we have pushed, and we those of its', {
  skip: noRegistry,
}, async (t) => {
  await using registry = await startRegistry()
  const { folder, source, key, recipient, run } = await multiPlatform(t, { attested: false })
  const skopeo = (...args: string[]) =>
    runProgramOf('skopeo', ['--insecure-policy', 'copy', '--quiet', '--all', ...args])
  const ours = `docker://${registry.host}/a/ours:1`
  await run('encrypt', source, ours, '--recipient', recipient, '--all')
  await skopeo('--src-tls-verify=false', '--decryption-key', key, ours, `oci:${folder}/s:1`)
  assert.equal((await readIndex(join(folder, 's'))).manifests.length, 2)
  const theirs = `docker://${registry.host}/a/theirs:1`
  await skopeo('--dest-tls-verify=false', '--encryption-key', `jwe:${recipient}`, source, theirs)
  const { decryptedLayers } = await run('decrypt', theirs, `oci:${folder}/o`, '--key', key, '--all')
  assert.equal(decryptedLayers, 4)
})
