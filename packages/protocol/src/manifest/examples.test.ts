// Every manifest under examples/ is checked, put on the wire and admitted.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { cidOf } from './arbitrary-manifest.test.ts'
import { checkPod } from './check-pod.ts'
import { checkManifest, parseManifest } from './parse.ts'
import { formatProblem } from './problem.ts'
import { manifestResources } from './resources.ts'
import { toWire } from './to-wire.ts'

const ROOT = join(import.meta.dirname, '../../../../examples')
const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('trustedpods.yml'),
)

test('there are examples', () => {
  for (const name of ['hello', 'worker', 'guestbook', 'short-forms'])
    assert.ok(files.includes(`${name}/trustedpods.yml`), name)
})

for (const file of files) {
  test(`examples/${file} has no problem, and its pod is admitted`, () => {
    const { manifest, problems } = checkManifest(readFileSync(join(ROOT, file), 'utf8'), { file })
    assert.deepEqual(problems, [])
    assert.ok(manifest)
    const sources = manifest.volumes.flatMap((volume) =>
      volume.kind === 'secret' && volume.content.kind === 'source' ? [volume.content.source] : [],
    )
    checkPod(
      toWire(manifest, {
        images: new Map(
          manifest.containers.map(({ image }) => [image, { cid: cidOf(1), privateKey: new Uint8Array(1) }]),
        ),
        secrets: new Map(sources.map((source) => [source, readFileSync(join(ROOT, dirname(file), source))])),
      }),
    )
  })
}

test('hello is small: 200 millicores, 128 MiB of memory, 16 MiB of storage, one host, nothing published', () => {
  const manifest = parseManifest(readFileSync(join(ROOT, 'hello/trustedpods.yml'), 'utf8'))
  const resources = manifestResources(manifest).map(({ name, quantity }) => [name, quantity])
  assert.deepEqual(resources, [
    ['cpu', 200n],
    ['memory', 134217728n],
    ['storage', 16777216n],
  ])
  const hosts = manifest.containers.flatMap(({ ports }) => ports.map(({ httpHost }) => httpHost))
  assert.deepEqual(hosts, ['hello.localhost'])
})

test('what spec/MANIFEST.md shows is what happens', () => {
  const spec = readFileSync(join(ROOT, '../spec/MANIFEST.md'), 'utf8')
  const [good = '', bad = ''] = [...spec.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml]) => yaml)
  assert.deepEqual(checkManifest(good).problems, [])
  const shown = /```\n(trustedpods\.yml:.*?)```/s.exec(spec)?.[1]
  assert.equal(`${checkManifest(bad, { file: 'trustedpods.yml' }).problems.map(formatProblem).join('\n')}\n`, shown)
})
