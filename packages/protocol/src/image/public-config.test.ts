import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secretLooking, toPublicConfig } from './public-config.ts'

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const decode = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes))

const IMAGE = {
  architecture: 'amd64',
  os: 'linux',
  author: 'somebody',
  config: {
    Env: ['PATH=/bin', 'DB_PASSWORD=hunter2=x'],
    Entrypoint: ['/run'],
    Cmd: ['--fast'],
    WorkingDir: '/srv',
    User: '1000',
    ExposedPorts: { '80/tcp': {} },
    Labels: { maintainer: 'somebody' },
  },
  history: [{ created_by: 'RUN secret' }],
  rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
}

test('plain keeps every byte, sealed takes what the container can be told otherwise, stripped history and labels too', () => {
  const bytes = encode(IMAGE)
  assert.deepEqual(toPublicConfig(bytes, 'plain'), { config: bytes })
  const defaults = { env: IMAGE.config.Env, entrypoint: ['/run'], cmd: ['--fast'], workingDir: '/srv' }
  const { Env: _, Entrypoint: __, Cmd: ___, WorkingDir: ____, ...config } = IMAGE.config
  const sealed = toPublicConfig(bytes, 'sealed')
  assert.deepEqual(sealed.defaults, defaults)
  assert.deepEqual(decode(sealed.config), { ...IMAGE, config })
  const stripped = toPublicConfig(bytes, 'stripped')
  assert.deepEqual(stripped.defaults, defaults)
  const { architecture, os, rootfs } = IMAGE
  assert.deepEqual(decode(stripped.config), {
    architecture,
    os,
    rootfs,
    config: { User: '1000', ExposedPorts: config.ExposedPorts },
  })
})

test('an image without a config of its own has nothing to seal', () => {
  const { config } = toPublicConfig(encode({ ...IMAGE, config: null }), 'sealed')
  assert.deepEqual(decode(config).config, {})
})

/** What a container of the manifest could not say: the image then keeps it. */
for (const [name, change] of Object.entries({
  'a variable without a value': { Env: ['PATH'] },
  'a name that no manifest takes': { Env: ['1 X=1'] },
  'too many variables': { Env: Array.from({ length: 257 }, (_, i) => `A${i}=1`) },
  'a relative folder': { WorkingDir: 'srv' },
  'an entry that is no text': { Cmd: ['a', 1] },
  'a zero byte': { Cmd: ['a\0b'] },
}))
  test(`kept as it is: ${name}`, () => {
    const bytes = encode({ ...IMAGE, config: { ...IMAGE.config, ...change } })
    assert.deepEqual(toPublicConfig(bytes, 'stripped'), { config: bytes })
  })

test('what looks like a secret is named, by its name or its value, and what only points to one is not', () => {
  const secrets = [
    'DB_PASSWORD=x',
    'API_KEY=x',
    'aws.secret=x',
    'GITHUB_TOKEN=x',
    'X=ghp_0123456789',
    'URL=postgres://u:p@db/x',
    'K=-----BEGIN PRIVATE KEY-----',
    'J=eyJhbGciOi.eyJzdWIi',
  ]
  const harmless = [
    'PATH=/bin',
    'GPG_KEY=A035C8C1',
    'PASSWORD_FILE=/x',
    'TOKENIZERS=1',
    'SECRET=',
    'URL=http://a:80/',
    'KEYBOARD=us',
  ]
  const config = encode({ config: { Env: [...secrets, ...harmless] } })
  assert.deepEqual(
    secretLooking(config),
    secrets.map((entry) => entry.split('=')[0]),
  )
})
