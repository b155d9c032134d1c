/** What of an image stays readable: layers that were not chosen, and its config. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { registryImage } from '../support/hostile-registry.ts'
import { blobPath, imageFolder, layoutManifest, writePlainLayout } from '../support/image-cli.ts'
import { randomTar, sha256Text } from '../support/image-fixture.ts'
import { runProgramOf, skipWithout } from '../support/programs.ts'

const noSkopeo = await skipWithout('skopeo')

const encryptedOf = async (folder: string) =>
  ((await layoutManifest(folder)).layers as { mediaType: string }[]).map(({ mediaType }) =>
    mediaType.endsWith('+encrypted'),
  )

test('--layers encrypts those that it names, negative ones from the end, and says loudly which stay readable', async (t) => {
  const { folder, recipient, tryRun } = await imageFolder(t)
  const encrypt = (layers: string, name: string) =>
    tryRun('encrypt', `oci:${folder}/plain`, `oci:${folder}/${name}`, '--recipient', recipient, `--layers=${layers}`)
  // Layer 3 is layer 0 once more: readable at one place would be readable.
  const last = await encrypt('-1', 'last')
  assert.equal(last.code, 0, last.stderr)
  assert.deepEqual(await encryptedOf(join(folder, 'last')), [true, false, false, true])
  assert.match(last.stderr, /WARNING: LAYERS 1, 2 ARE NOT ENCRYPTED/)
  assert.deepEqual(JSON.parse(last.stdout).plainLayers, [1, 2])
  const two = await encrypt('1,2', 'two')
  assert.deepEqual(await encryptedOf(join(folder, 'two')), [false, true, true, false])
  assert.match(two.stderr, /LAYERS 0, 3 ARE NOT/)
  for (const layers of ['4', '-5']) {
    const beyond = await encrypt(layers, 'beyond')
    assert.deepEqual([beyond.code, /the image has 4 layers, from 0 to 3/.test(beyond.stderr)], [3, true], beyond.stderr)
  }
  assert.equal((await encrypt('first', 'x')).code, 2)
  const all = await tryRun(
    'encrypt',
    `oci:${folder}/plain`,
    `oci:${folder}/x`,
    '--recipient',
    recipient,
    '--layers=0',
    '--all',
  )
  assert.equal(all.code, 2)
})

test('skopeo opens what was encrypted in part', { skip: noSkopeo }, async (t) => {
  const { folder, recipient, key, run } = await imageFolder(t)
  await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/part:v1`, '--recipient', recipient, '--layers=1')
  const args = ['--insecure-policy', 'copy', '--quiet', '--decryption-key', key]
  await runProgramOf('skopeo', [...args, `oci:${folder}/part:v1`, `oci:${folder}/opened:v1`])
  await run('decrypt', `oci:${folder}/part`, `oci:${folder}/ours`, '--key', key)
  assert.equal((await run('inspect', `oci:${folder}/opened`)).encrypted, 'none')
  assert.equal((await layoutManifest(join(folder, 'ours'))).layers.length, 4)
})

test('an image that is encrypted in part is published only where that is asked for', async (t) => {
  const { folder, recipient, run, tryRun } = await imageFolder(t)
  await run('encrypt', `oci:${folder}/plain`, `oci:${folder}/part`, '--recipient', recipient, '--layers=1,2')
  for (const flags of [[], ['--plain'], ['--recipient', recipient]]) {
    const { code, stderr } = await tryRun('publish', `oci:${folder}/part`, ...flags)
    assert.equal(code, 3, stderr)
    assert.match(stderr, /is encrypted in part, its layers 0, 3 are plain: --mixed/)
  }
  const mixed = await tryRun('publish', `oci:${folder}/part`, '--mixed')
  assert.equal(mixed.code, 0, mixed.stderr)
  assert.match(mixed.stderr, /LAYERS 0, 3 ARE NOT ENCRYPTED/)
  assert.equal((await run('inspect', `ipfs:${JSON.parse(mixed.stdout).cid}`)).encrypted, 'some')
  const chosen = await run('publish', `oci:${folder}/plain`, '--layers=0')
  assert.deepEqual([chosen.encryptedHere, chosen.plain], [1, 2])
  assert.equal((await tryRun('publish', `oci:${folder}/plain`, '--layers=0', '--plain')).code, 2)
})

const CONFIG = {
  author: 'somebody',
  created: '2026-01-01T00:00:00Z',
  history: [{ created_by: 'RUN make' }],
  config: { Env: ['PATH=/bin', 'DB_PASSWORD=hunter2'], Cmd: ['/app'], Labels: { commit: 'abc' }, User: '1000' },
}

test('secrets in a config are told, and --image-config strips what an image can do without', async (t) => {
  const { folder, recipient, tryRun, run } = await imageFolder(t, ['gzip'])
  const image = registryImage([{ tar: await randomTar(1000) }])
  await writePlainLayout(join(folder, 'app'), image)
  const manifest = JSON.parse(Buffer.from(image.manifest).toString())
  const plain = JSON.parse(await readFile(blobPath(join(folder, 'app'), manifest.config.digest), 'utf8'))
  const bytes = Buffer.from(JSON.stringify({ ...plain, ...CONFIG }))
  await writeFile(blobPath(join(folder, 'app'), sha256Text(bytes)), bytes)
  const config = { ...manifest.config, digest: sha256Text(bytes), size: bytes.length }
  const changed = Buffer.from(JSON.stringify({ ...manifest, config }))
  await writePlainLayout(join(folder, 'app'), { ...image, manifest: changed })

  const to = ['--recipient', recipient]
  const told = await tryRun('encrypt', `oci:${folder}/app`, `oci:${folder}/enc`, ...to)
  assert.match(told.stderr, /warning: anybody who has this image can read DB_PASSWORD/)
  assert.ok(!told.stderr.includes('hunter2'))
  assert.match((await tryRun('publish', `oci:${folder}/app`)).stderr, /can read DB_PASSWORD/)

  await run('encrypt', `oci:${folder}/app`, `oci:${folder}/stripped`, ...to, '--image-config', 'stripped')
  const seen = (await run('inspect', `oci:${folder}/stripped`)).config as typeof CONFIG & { rootfs: unknown }
  assert.deepEqual(seen.config, { Env: CONFIG.config.Env, Cmd: ['/app'], User: '1000' })
  assert.deepEqual([seen.author, seen.created, seen.history], [undefined, undefined, undefined])
  assert.deepEqual(seen.rootfs, plain.rootfs)
  const published = await run('publish', `oci:${folder}/app`, '--image-config', 'stripped')
  assert.deepEqual(((await run('inspect', `ipfs:${published.cid}`)).config as typeof CONFIG).config.Labels, undefined)
  for (const command of [
    ['encrypt', `oci:${folder}/app`, `oci:${folder}/x`, ...to],
    ['publish', `oci:${folder}/app`],
  ]) {
    const { code, stderr } = await tryRun(...command, '--image-config', 'sealed')
    assert.deepEqual([code, /which trustedpods deploy has/.test(stderr)], [2, true], stderr)
  }
})
