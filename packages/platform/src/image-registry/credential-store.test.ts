import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { findCredentials } from './credential-store.ts'
import { registryName } from './registry-name.ts'

async function home(t: TestContext, files: Record<string, object>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-credentials-'))
  t.after(() => rm(folder, { recursive: true }))
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), JSON.stringify(content))
  }
  return folder
}

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })
const password = (username: string, secret: string) => ({ kind: 'password', username, password: secret })

test('each file is found, the one that REGISTRY_AUTH_FILE names first', async (t) => {
  const folder = await home(t, {
    'named.json': { auths: { 'a.example': auth('u1:named') } },
    '.docker/config.json': { auths: { 'a.example': auth('u2:docker'), 'b.example': auth('u3:p:q') } },
    'run/containers/auth.json': { auths: { 'c.example': auth('u4:run') } },
    '.config/containers/auth.json': { auths: { 'c.example': auth('u5:no'), 'd.example': auth('u6:config') } },
  })
  const env = { HOME: folder, XDG_RUNTIME_DIR: join(folder, 'run'), REGISTRY_AUTH_FILE: join(folder, 'named.json') }
  const cases: [string, object | undefined][] = [
    ['a.example', password('u1', 'named')],
    ['b.example', password('u3', 'p:q')],
    ['c.example', password('u4', 'run')],
    ['d.example', password('u6', 'config')],
    ['e.example', undefined],
  ]
  for (const [host, credentials] of cases) assert.deepEqual(await findCredentials([host], { env }), credentials, host)
  assert.deepEqual(await findCredentials(['a.example'], { env: { HOME: folder } }), password('u2', 'docker'))
  const moved = { HOME: '/nowhere', DOCKER_CONFIG: join(folder, '.docker') }
  assert.deepEqual(await findCredentials(['a.example'], { env: moved }), password('u2', 'docker'))
})

test('keys as people and programs write them; tokens over passwords; an empty entry is none', async (t) => {
  const folder = await home(t, {
    '.docker/config.json': {
      auths: {
        'https://index.docker.io/v1/': auth('hub:secret'),
        'https://url.example/v2/': auth('url:secret'),
        'token.example': { ...auth('<token>:x'), identitytoken: 'refresh' },
        'plain.example': { username: 'me', password: 'secret' },
        'empty.example': {},
      },
    },
  })
  const env = { HOME: folder }
  const find = (image: string) => findCredentials(registryName(image).credentialHosts, { env })
  assert.deepEqual(await find('nginx'), password('hub', 'secret'))
  assert.deepEqual(await find('docker.io/acme/web'), password('hub', 'secret'))
  assert.deepEqual(await find('url.example/web'), password('url', 'secret'))
  assert.deepEqual(await find('token.example/web'), { kind: 'identity', token: 'refresh' })
  assert.deepEqual(await find('plain.example/web'), password('me', 'secret'))
  assert.equal(await find('empty.example/web'), undefined)
  assert.equal(await find('other.example/web'), undefined)
})

test('Docker Hub by all its names, others as they are', () => {
  const hub = { host: 'registry-1.docker.io', repository: 'library/nginx', reference: 'latest' }
  for (const name of [
    'nginx',
    'docker.io/nginx',
    'index.docker.io/library/nginx',
    'registry-1.docker.io/nginx:latest',
  ]) {
    const { host, repository, reference } = registryName(name)
    assert.deepEqual({ host, repository, reference }, hub, name)
  }
  const { host, repository, reference } = registryName('localhost:5000/nginx:1')
  assert.deepEqual([host, repository, reference], ['localhost:5000', 'nginx', '1'])
  assert.throws(() => registryName('Not A Name'), { code: 'MANIFEST_IMAGE_INVALID' })
})
