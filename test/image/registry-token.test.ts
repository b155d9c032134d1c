/** A real registry that takes Bearer tokens only, and an authorization server of ours that signs them for a user with a password. */
import assert from 'node:assert/strict'
import { createPrivateKey, sign, X509Certificate } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startHttp } from '../support/hostile-registry.ts'
import { imageFolder } from '../support/image-cli.ts'
import { runProgramOf, skipWithout } from '../support/programs.ts'
import { startRegistry } from '../support/registry-process.ts'

const skip = await skipWithout('docker-registry', 'openssl')

const BASIC = `Basic ${Buffer.from('me:sesame').toString('base64')}`
const toBase64Url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Signs what distribution's token specification has, for the scope that was asked for. */
async function tokenSigner(folder: string) {
  const [keyFile, certificate] = [join(folder, 'signer.key'), join(folder, 'signer.pem')]
  const subject = ['-subj', '/CN=test', '-days', '2', '-keyout', keyFile, '-out', certificate]
  await runProgramOf('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject])
  const key = createPrivateKey(await readFile(keyFile))
  const x5c = [new X509Certificate(await readFile(certificate)).raw.toString('base64')]
  const signToken = (scope: string) => {
    const [type, name, actions = ''] = scope.split(':')
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: 'test', aud: 'test', sub: 'me', jti: `${now}`, iat: now, nbf: now - 60, exp: now + 300 }
    const access = [{ type, name, actions: actions.split(',') }]
    const signed = `${toBase64Url({ typ: 'JWT', alg: 'RS256', x5c })}.${toBase64Url({ ...claims, access })}`
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
  }
  return { certificate, signToken }
}

test('an image is pushed and pulled with tokens; without the password nothing is', { skip }, async (t) => {
  const { folder, key, recipient, run, tryRun } = await imageFolder(t)
  const { certificate, signToken } = await tokenSigner(folder)
  const scopes: string[] = []
  await using realm = await startHttp((request, response) => {
    const scope = new URL(request.url ?? '', 'http://x').searchParams.get('scope') ?? ''
    scopes.push(scope)
    if (request.headers.authorization !== BASIC) return response.writeHead(401).end()
    response.end(JSON.stringify({ token: signToken(scope) }))
  })
  await using registry = await startRegistry({ tokens: { realm: `http://${realm.host}/token`, certificate } })
  const image = `docker://${registry.host}/acme/web:1`

  const refused = await tryRun('encrypt', `oci:${folder}/plain`, image, '--recipient', recipient)
  assert.equal(refused.code, 2)
  assert.equal(JSON.parse(refused.stderr).error.code, 'PLATFORM_IMAGE_LOGIN')

  await mkdir(join(folder, 'home', '.docker'), { recursive: true })
  const auths = { [registry.host]: { auth: BASIC.slice('Basic '.length) } }
  await writeFile(join(folder, 'home', '.docker', 'config.json'), JSON.stringify({ auths }))
  await run('encrypt', `oci:${folder}/plain`, image, '--recipient', recipient)
  await run('decrypt', image, `oci:${folder}/out`, '--key', key)
  assert.deepEqual([...new Set(scopes)], ['repository:acme/web:pull,push', 'repository:acme/web:pull'])
})
