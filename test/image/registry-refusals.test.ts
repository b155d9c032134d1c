/** Registries that lie, break off, dawdle, and send the user's password astray: each answer is a server of this test on loopback. */
import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import type { RegistryOptions } from '@trusted-pods/platform/image-registry/registry-connection.ts'
import { openRegistryImage } from '@trusted-pods/platform/image-registry/registry-reader.ts'
import { openBlob } from '@trusted-pods/platform/images/image-reader.ts'
import { chooseImage } from '@trusted-pods/platform/images/image-root.ts'
import { assertRefused } from '../support/assert-refused.ts'
import {
  type HostileServer,
  INDEX,
  MANIFEST,
  type RegistryImage,
  registryImage,
  serveImage,
  startHttp,
} from '../support/hostile-registry.ts'
import { collect, randomTar, sha256Text } from '../support/image-fixture.ts'

type Answer = (request: IncomingMessage, response: ServerResponse, honest: () => void, image: RegistryImage) => void

/** A user without credentials. */
const NOBODY: RegistryOptions = { env: { HOME: '/nowhere' } }

async function oneLayerImage(): Promise<RegistryImage> {
  return registryImage([{ tar: await randomTar(300_000), compression: 'gzip' }])
}

async function withRegistry(
  answer: Answer,
  run: (server: HostileServer, image: RegistryImage) => Promise<void>,
): Promise<void> {
  const image = await oneLayerImage()
  const honest = serveImage(image)
  await using server = await startHttp((request, response) =>
    answer(request, response, () => honest(request, response), image),
  )
  await run(server, image)
}

async function readAll(host: string, options: RegistryOptions = NOBODY): Promise<Buffer> {
  await using reader = await openRegistryImage(`${host}/a/b:1`, options)
  const { manifest } = await chooseImage(reader)
  const [layer] = manifest.layers
  return collect(openBlob(reader, layer ?? assert.fail()))
}

const isBlob = ({ url = '' }: IncomingMessage) => url.includes('/blobs/')
const isManifest = ({ url = '' }: IncomingMessage) => url.includes('/manifests/')

test('an honest registry gives the layer', () =>
  withRegistry(
    (_, __, honest) => honest(),
    async ({ host }, image) => assert.deepEqual(await readAll(host), Buffer.from(image.layers[0]?.bytes ?? [])),
  ))

const lies: Record<
  string,
  { answer: Answer; code?: 'PLATFORM_IMAGE_REGISTRY' | 'PLATFORM_IMAGE_LOGIN'; message: RegExp }
> = {
  'other bytes of the same length': {
    answer: (request, response, honest, { layers }) =>
      isBlob(request) ? response.end(Buffer.alloc(layers[0]?.bytes.length ?? 0, 7)) : honest(),
    message: /blob sha256:\w+ is sha256:/,
  },
  'a blob without an end': {
    answer: (request, response, honest) => {
      if (!isBlob(request)) return honest()
      const pour = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        response.once('drain', pour)
      }
      pour()
    },
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /answers with over \d+ bytes/,
  },
  'a manifest without an end': {
    answer: (request, response, honest) => {
      if (!isManifest(request)) return honest()
      response.writeHead(200, { 'content-type': MANIFEST })
      const pour = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, ' ')));
        response.once('drain', pour)
      }
      pour()
    },
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /answers with over 4194304 bytes/,
  },
  'a manifest that is not one': {
    answer: (request, response, honest) =>
      isManifest(request) ? response.writeHead(200, { 'content-type': MANIFEST }).end('[]') : honest(),
    message: /not a JSON object/,
  },
  'a manifest of another media type': {
    answer: (request, response, honest) =>
      isManifest(request) ? response.writeHead(200, { 'content-type': 'text/html' }).end('<html>') : honest(),
    message: /is of type text\/html, wanted an image manifest/,
  },
  'a manifest of the old schema': {
    answer: (request, response, honest) =>
      isManifest(request)
        ? response
            .writeHead(200, { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' })
            .end('{}')
        : honest(),
    message: /manifest\.v1\+prettyjws, wanted/,
  },
  'a manifest that is sent as an index': {
    answer: (request, response, honest) => {
      if (!isManifest(request)) return honest()
      response.writeHead(200, { 'content-type': INDEX }).end(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST }))
    },
    message: /is sent as .*index.*says of itself .*manifest/,
  },
  'a blob that is not there': {
    answer: (request, response, honest) => (isBlob(request) ? response.writeHead(404).end() : honest()),
    message: /lacks the blob sha256:/,
  },
  '401 without end': {
    answer: (_, response) => response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    code: 'PLATFORM_IMAGE_LOGIN',
    message: /wants a login for a\/b, and there are no credentials/,
  },
  '401 without a word': {
    answer: (_, response) => response.writeHead(401).end(),
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /answers 401 and does not say what it wants/,
  },
  'a realm that is no address': {
    answer: (_, response) => response.writeHead(401, { 'www-authenticate': 'Bearer realm="nowhere"' }).end(),
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /names no address that gives tokens/,
  },
  'a realm at a plain address elsewhere': {
    answer: (_, response) =>
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://example.org/t"' }).end(),
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /http:\/\/example\.org is not asked: only https/,
  },
  'a token that is none': {
    answer: ({ url = '' }, response) => {
      if (url.startsWith('/token')) return response.end('{"token":"a b\\nc"}')
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${response.req.headers.host}/token"` }).end()
    },
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /gives something that is no token/,
  },
  'a token that does not help': {
    answer: ({ url = '' }, response) => {
      if (url.startsWith('/token')) return response.end('{"token":"abc"}')
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${response.req.headers.host}/token"` }).end()
    },
    code: 'PLATFORM_IMAGE_LOGIN',
    message: /wants a login/,
  },
  'redirects in a circle': {
    answer: (_, response) => response.writeHead(307, { location: '/v2/a/b/manifests/1' }).end(),
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /redirects more than 5 times/,
  },
  'a redirect to no address': {
    answer: (_, response) => response.writeHead(307, { location: 'http://[' }).end(),
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /redirects to no address/,
  },
  'a redirect to a file': {
    answer: (_, response) => response.writeHead(307, { location: 'file:///etc/passwd' }).end(),
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /file:\/\/ is not asked/,
  },
  'an error that would colour a terminal': {
    answer: (_, response) => response.writeHead(500).end('\u001b[31mall is well\u001b[2J'),
    code: 'PLATFORM_IMAGE_REGISTRY',
    message: /answers 500 \[31mall is well \[2J$/,
  },
}

for (const [name, { answer, code = 'MANIFEST_IMAGE_INVALID', message }] of Object.entries(lies)) {
  test(`refused: ${name}`, () => withRegistry(answer, ({ host }) => assertRefused(code, message, () => readAll(host))))
}

test('a name by digest is refused when the registry gives another manifest', () =>
  withRegistry(
    (_, __, honest) => honest(),
    async ({ host }, { manifest }) => {
      const wanted = sha256Text(Buffer.from('another'))
      await assertRefused('MANIFEST_IMAGE_INVALID', new RegExp(`is ${sha256Text(manifest)}`), () =>
        openRegistryImage(`${host}/a/b@${wanted}`, NOBODY),
      )
    },
  ))

test('an image that is not there is MANIFEST_IMAGE_NOT_FOUND', () =>
  withRegistry(
    ({ url }, response) => response.writeHead(url === '/v2/' ? 200 : 404).end(),
    ({ host }) => assertRefused('MANIFEST_IMAGE_NOT_FOUND', /has no image a\/b:1/, () => readAll(host)),
  ))

test('a download that is cut goes on where it stood', () => {
  let cuts = 0
  return withRegistry(
    (request, response, honest, image) => {
      if (!isBlob(request) || cuts >= 2) return honest()
      cuts++
      const from = Number(/=(\d+)/.exec(request.headers.range ?? '')?.[1] ?? 0)
      if (from === 0) response.writeHead(200, { 'content-length': 300_000 })
      else response.writeHead(206)
      sendPiece(image, response, from)
    },
    async ({ host, seen }, image) => {
      assert.deepEqual(await readAll(host), Buffer.from(image.layers[0]?.bytes ?? []))
      const ranges = seen.filter(({ path }) => path.includes('/blobs/')).map(({ range }) => range)
      assert.deepEqual(ranges, [undefined, 'bytes=100000-', 'bytes=200000-'])
    },
  )
})

/** 100 kB of the layer, then the end of the connection in the middle. */
function sendPiece({ layers }: RegistryImage, response: ServerResponse, from: number): void {
  const bytes = layers[0]?.bytes ?? assert.fail()
  response.write(bytes.subarray(from, from + 100_000), () => response.destroy())
}

test('a registry without ranges begins anew, and the layer is whole all the same', () => {
  let cuts = 0
  return withRegistry(
    (request, response, honest, image) => {
      if (isBlob(request)) delete request.headers.range
      if (!isBlob(request) || cuts > 0) return honest()
      cuts++
      sendPiece(image, response.writeHead(200, { 'content-length': 300_000 }), 0)
    },
    async ({ host }, image) => {
      assert.deepEqual(await readAll(host), Buffer.from(image.layers[0]?.bytes ?? []))
    },
  )
})

test('a download that is cut again and again ends', () =>
  withRegistry(
    (request, response, honest) => {
      if (!isBlob(request)) return honest()
      response.writeHead(200, { 'content-length': 300_000 }).write('x', () => response.destroy())
    },
    async ({ host, seen }) => {
      await assertRefused('PLATFORM_IMAGE_REGISTRY', /does not answer/, () => readAll(host))
      assert.equal(seen.filter(({ path }) => path.includes('/blobs/')).length, 5)
    },
  ))

test('a registry that falls silent in the middle ends the download', () =>
  withRegistry(
    (request, response, honest) => {
      if (!isBlob(request)) return honest()
      response.writeHead(200, { 'content-length': 300_000 }).write('x')
    },
    ({ host }) =>
      assertRefused('PLATFORM_IMAGE_REGISTRY', /was silent for 100 ms/, () =>
        readAll(host, { ...NOBODY, silenceMs: 100 }),
      ),
  ))

test('a registry that sends a byte now and then ends the download', () =>
  withRegistry(
    (request, response, honest) => {
      if (!isBlob(request)) return honest()
      response.writeHead(200, { 'content-length': 300_000 })
      const drip = setInterval(() => response.write('x'), 20)
      response.on('close', () => clearInterval(drip))
    },
    ({ host }) =>
      assertRefused('PLATFORM_IMAGE_REGISTRY', /was silent for 300 ms/, () =>
        readAll(host, { ...NOBODY, silenceMs: 300 }),
      ),
  ))

test('the user ends a download with the reason of the signal', () => {
  const stop = new AbortController()
  const reason = new Error('enough')
  return withRegistry(
    (request, response, honest) => {
      if (!isBlob(request)) return honest()
      response.writeHead(200, { 'content-length': 300_000 }).write('x')
      stop.abort(reason)
    },
    ({ host }) => assert.rejects(readAll(host, { ...NOBODY, signal: stop.signal }), reason),
  )
})

/** This machine by an address that is not loopback, where it has one. */
const outside = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address
const skip = outside === undefined && 'SKIPPED: this machine has no address but its own'

test('without TLS a registry is asked only where the user has named it', { skip }, async () => {
  const image = await oneLayerImage()
  await using server = await startHttp(serveImage(image), outside)
  await assertRefused('PLATFORM_IMAGE_REGISTRY', /does not answer/, () => readAll(server.host))
  assert.deepEqual(server.seen, [])
  for (const named of [server.host, outside ?? '']) {
    const layer = await readAll(server.host, { ...NOBODY, plainHttp: [named] })
    assert.deepEqual(layer, Buffer.from(image.layers[0]?.bytes ?? []))
  }
})
