/** Where the user's credentials go and where never: Basic, Bearer, identity tokens, helpers, redirects. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openRegistryImage } from '@trusted-pods/platform/image-registry/registry-reader.ts'
import { openBlob } from '@trusted-pods/platform/images/image-reader.ts'
import { chooseImage } from '@trusted-pods/platform/images/image-root.ts'
import { assertRefused } from '../support/assert-refused.ts'
import { registryImage, serveImage, startHttp } from '../support/hostile-registry.ts'
import { collect, randomTar } from '../support/image-fixture.ts'

const USER = { username: 'me', password: 'open:sesame' }
const BASIC = `Basic ${Buffer.from(`${USER.username}:${USER.password}`).toString('base64')}`

/** A home folder with a Docker configuration. */
async function homeWith(t: TestContext, config: object): Promise<Record<string, string>> {
  const home = await mkdtemp(join(tmpdir(), 'tpod-login-'))
  t.after(() => rm(home, { recursive: true }))
  await mkdir(join(home, '.docker'))
  await writeFile(join(home, '.docker', 'config.json'), JSON.stringify(config))
  return { HOME: home, PATH: `${home}:${process.env.PATH}` }
}

const loginFor = (host: string) => ({ auths: { [host]: { auth: BASIC.slice('Basic '.length) } } })

async function readLayer(host: string, env: Record<string, string>): Promise<Buffer> {
  await using reader = await openRegistryImage(`${host}/a/b:1`, { env })
  const { manifest } = await chooseImage(reader)
  return collect(openBlob(reader, manifest.layers[0] ?? assert.fail()))
}

async function oneLayer() {
  const image = registryImage([{ tar: await randomTar(10_000) }])
  return { image, honest: serveImage(image), layer: Buffer.from(image.layers[0]?.bytes ?? []) }
}

test('Basic: the password goes to its registry, once it has asked', async (t) => {
  const { honest, layer } = await oneLayer()
  await using server = await startHttp((request, response) => {
    if (request.headers.authorization === BASIC) honest(request, response)
    else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
  })
  assert.deepEqual(await readLayer(server.host, await homeWith(t, loginFor(server.host))), layer)
  assert.equal(server.seen[0]?.authorization, undefined)
  await assertRefused('PLATFORM_IMAGE_LOGIN', /no credentials for it/, async () =>
    readLayer(server.host, await homeWith(t, loginFor('example.org'))),
  )
})

test('Basic: a wrong password is told as one, and is in no message', async (t) => {
  await using server = await startHttp((_, response) =>
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
  )
  const env = await homeWith(t, loginFor(server.host))
  await assertRefused('PLATFORM_IMAGE_LOGIN', /refuses the credentials for a\/b$/, () => readLayer(server.host, env))
})

test('Bearer: the password goes to the realm, the token to the registry; scope and service are asked for', async (t) => {
  const { honest, layer } = await oneLayer()
  await using realm = await startHttp((_, response) => response.end('{"access_token":"t0ken"}'))
  await using server = await startHttp((request, response) => {
    if (request.headers.authorization === 'Bearer t0ken') return honest(request, response)
    const challenge = `Bearer realm="http://${realm.host}/token",service="the registry",scope="repository:other:pull"`
    response.writeHead(401, { 'www-authenticate': challenge }).end()
  })
  assert.deepEqual(await readLayer(server.host, await homeWith(t, loginFor(server.host))), layer)
  assert.deepEqual(
    realm.seen.map(({ path, authorization }) => [path, authorization]),
    [['/token?service=the+registry&scope=repository%3Aa%2Fb%3Apull', BASIC]],
  )
  assert.ok(server.seen.every(({ authorization }) => authorization === undefined || authorization === 'Bearer t0ken'))
})

test('Bearer: an identity token is exchanged by POST, and nothing else is sent', async (t) => {
  const { honest, layer } = await oneLayer()
  let form = ''
  await using realm = await startHttp((request, response) => {
    request.setEncoding('utf8').on('data', (part: string) => {
      form += part
    })
    request.on('end', () => response.end('{"token":"t0ken"}'))
  })
  await using server = await startHttp((request, response) => {
    if (request.headers.authorization === 'Bearer t0ken') return honest(request, response)
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${realm.host}/token",service=s` }).end()
  })
  const env = await homeWith(t, { auths: { [server.host]: { identitytoken: 'refresh-me' } } })
  assert.deepEqual(await readLayer(server.host, env), layer)
  assert.equal(realm.seen[0]?.method, 'POST')
  assert.equal(realm.seen[0]?.authorization, undefined)
  const { grant_type, refresh_token, scope } = Object.fromEntries(new URLSearchParams(form))
  assert.deepEqual([grant_type, refresh_token, scope], ['refresh_token', 'refresh-me', 'repository:a/b:pull'])
})

test('Bearer: a token that has run out is renewed once in the middle', async (t) => {
  const { honest, layer } = await oneLayer()
  let given = 0
  await using server = await startHttp((request, response) => {
    const { url = '', headers } = request
    if (url.startsWith('/token')) return response.end(`{"token":"t${++given}"}`)
    const wanted = url.includes('/blobs/') ? 'Bearer t2' : 'Bearer t1'
    if (headers.authorization === wanted) return honest(request, response)
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${headers.host}/token"` }).end()
  })
  assert.deepEqual(await readLayer(server.host, await homeWith(t, {})), layer)
  assert.equal(given, 2)
})

test('a redirect to another host is followed without credentials', async (t) => {
  const { honest, layer } = await oneLayer()
  await using storage = await startHttp(honest, '127.0.0.2')
  await using server = await startHttp((request, response) => {
    if (request.headers.authorization !== BASIC)
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    if (!request.url?.includes('/blobs/')) return honest(request, response)
    response.writeHead(307, { location: `http://evil:word@${storage.host}${request.url}` }).end()
  })
  assert.deepEqual(await readLayer(server.host, await homeWith(t, loginFor(server.host))), layer)
  assert.ok(storage.seen.length > 0)
  assert.ok(storage.seen.every(({ authorization }) => authorization === undefined))
})

test('another host that wants a password after a redirect gets none', async (t) => {
  const { honest } = await oneLayer()
  await using storage = await startHttp(
    (_, response) => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    '127.0.0.2',
  )
  await using server = await startHttp((request, response) => {
    if (request.headers.authorization !== BASIC)
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    if (!request.url?.includes('/blobs/')) return honest(request, response)
    response.writeHead(307, { location: `http://${storage.host}/` }).end()
  })
  const env = await homeWith(t, { auths: { ...loginFor(server.host).auths, ...loginFor(storage.host).auths } })
  await assert.rejects(readLayer(server.host, env), { code: 'PLATFORM_IMAGE_LOGIN' })
  assert.ok(storage.seen.every(({ authorization }) => authorization === undefined))
})

test('a credential helper is asked for the host, over credsStore where credHelpers name another', async (t) => {
  const { honest, layer } = await oneLayer()
  await using server = await startHttp((request, response) => {
    if (request.headers.authorization === BASIC) honest(request, response)
    else response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
  })
  const env = await homeWith(t, { credHelpers: { [server.host]: 'test' }, credsStore: 'missing' })
  const answer = JSON.stringify({ ServerURL: server.host, Username: USER.username, Secret: USER.password })
  const helper = join(env.HOME ?? '', 'docker-credential-test')
  await writeFile(helper, `#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = "${server.host}" ] && echo '${answer}'\n`, {
    mode: 0o700,
  })
  assert.deepEqual(await readLayer(server.host, env), layer)
})

const helpers: Record<string, { script: string; message: RegExp }> = {
  'that fails': {
    script: 'echo open:sesame; exit 3',
    message: /the credential helper test gives no credentials: it ended with 3$/,
  },
  'that talks nonsense': { script: 'echo open:sesame', message: /its answer is not JSON$/ },
  'whose answer lacks the secret': { script: 'echo "{}"', message: /lacks Username or Secret$/ },
  'that does not end its answer': { script: 'yes', message: /its answer has over 65536 characters$/ },
}
for (const [name, { script, message }] of Object.entries(helpers)) {
  test(`refused: a credential helper ${name}; its words are not told`, async (t) => {
    await using server = await startHttp((_, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    )
    const env = await homeWith(t, { credsStore: 'test' })
    await writeFile(join(env.HOME ?? '', 'docker-credential-test'), `#!/bin/sh\n${script}\n`, { mode: 0o700 })
    await assertRefused('PLATFORM_IMAGE_LOGIN', message, () => readLayer(server.host, env))
  })
}

test('a helper that has nothing leaves the user without credentials, as does one that is missing from auths', async (t) => {
  const { honest, layer } = await oneLayer()
  await using server = await startHttp((request, response) => honest(request, response))
  const env = await homeWith(t, { credsStore: 'test' })
  const script = '#!/bin/sh\necho "credentials not found in native keychain"; exit 1\n'
  await writeFile(join(env.HOME ?? '', 'docker-credential-test'), script, { mode: 0o700 })
  assert.deepEqual(await readLayer(server.host, env), layer)
})

test('a broken configuration is refused without being quoted', async (t) => {
  await using server = await startHttp((_, response) =>
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
  )
  const env = await homeWith(t, {})
  await writeFile(join(env.HOME ?? '', '.docker', 'config.json'), '{"auths": open:sesame')
  await assertRefused('PLATFORM_IMAGE_LOGIN', /config\.json is not JSON of at most \d+ bytes$/, () =>
    readLayer(server.host, env),
  )
  await writeFile(
    join(env.HOME ?? '', '.docker', 'config.json'),
    JSON.stringify({ auths: { [server.host]: { auth: Buffer.from('nocolon').toString('base64') } } }),
  )
  await assertRefused('PLATFORM_IMAGE_LOGIN', /auth in .* is not base64 of user:password$/, () =>
    readLayer(server.host, env),
  )
})
