import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TrustedPodsError } from '../errors.ts'
import { type InitOptions, initManifest } from './init.ts'
import { checkManifest } from './parse.ts'

const STARTERS: readonly InitOptions[] = [
  { image: 'nginx' },
  { image: 'docker.io/library/nginx:1.29@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f' },
  { image: 'localhost:5000/a/b:1', ports: ['8080:80/udp', '[::1]:8081:81', '9000'] },
  { image: 'a', host: 'hello.example.org' },
  { image: 'a', host: 'hello.example.org', ports: ['80', '53:53/udp'] },
  { image: 'yes', host: 'true', ports: ['0080'] },
  { image: 'oci:./a b # c' },
]

test('a starter parses without a problem, with its comments taken for comments', () => {
  for (const options of STARTERS) {
    const { manifest, problems } = checkManifest(initManifest(options))
    assert.deepEqual(problems, [], JSON.stringify(options))
    assert.equal(manifest?.containers[0]?.image, options.image)
  }
})

test('a starter exposes what was asked for', () => {
  const ports = (options: InitOptions) => checkManifest(initManifest(options)).manifest?.containers[0]?.ports
  const published = { targetPort: 53, port: 53, protocol: 'udp', hostIp: '', httpHost: '' }
  assert.deepEqual(ports({ image: 'a', host: 'h.example', ports: ['80', '53/udp'] }), [
    { port: 80, targetPort: 80, protocol: 'tcp', hostIp: '', httpHost: 'h.example' },
    published,
  ])
  assert.equal(ports({ image: 'a', host: 'h.example' })?.[0]?.targetPort, 8080)
  assert.deepEqual(ports({ image: 'a', ports: ['53/udp'] }), [published])
  assert.deepEqual(ports({ image: 'a' }), [])
})

test('the lines that a starter has commented out are right too', () => {
  const text = initManifest({ image: 'a' }).replaceAll(/^( *)# (?=[a-z./-]+:| {2}|- )/gm, '$1')
  const { manifest, problems } = checkManifest(text)
  assert.deepEqual(problems, [])
  assert.deepEqual(manifest?.containers[0]?.env, [{ name: 'GREETING', value: 'hello' }])
  assert.equal(manifest?.containers[0]?.resources.at(-1)?.selector, 'H100')
  assert.deepEqual(
    manifest?.volumes.map(({ kind }) => kind),
    ['volume', 'secret'],
  )
})

test('what no manifest takes is refused with MANIFEST_INVALID', () => {
  const refused: readonly InitOptions[] = [
    { image: '' },
    { image: 'a\nb' },
    { image: 'a', host: 'A_b' },
    { image: 'a', ports: ['x'] },
    { image: 'a', host: 'a.b', ports: ['80:80'] },
    { image: 'a', host: 'a.b', ports: ['0'] },
  ]
  for (const options of refused) {
    assert.throws(
      () => initManifest(options),
      (error) => error instanceof TrustedPodsError && error.code === 'MANIFEST_INVALID',
      JSON.stringify(options),
    )
  }
})

test('no image can write YAML of its own', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (image) => {
      let text: string
      try {
        text = initManifest({ image })
      } catch (error) {
        return assert.ok(error instanceof TrustedPodsError)
      }
      return assert.equal(checkManifest(text).manifest?.containers[0]?.image, image)
    }),
  )
})
