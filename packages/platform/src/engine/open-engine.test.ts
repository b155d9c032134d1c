import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { connectEngine } from './engine-client.ts'
import { daemonPaths } from './engine-daemon.ts'
import { openEngine, socketPath } from './open-engine.ts'

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const folder = await mkdtemp(join(tmpdir(), 'tp-open-'))
after(() => rm(folder, { recursive: true, force: true }))

/** What speaks HTTP on a unix socket for as long as `use` takes: engines of other makes and ages. */
async function speaking(
  name: string,
  listener: RequestListener,
  use: (socket: string) => Promise<void>,
): Promise<void> {
  const socket = join(folder, name)
  const server = createServer(listener)
  await new Promise<void>((settle) => server.listen(socket, settle))
  try {
    await use(socket)
  } finally {
    server.closeAllConnections()
    await new Promise((settle) => server.close(settle))
  }
}

function versionOf(version: object): RequestListener {
  return (_, response) => response.end(JSON.stringify(version))
}

function refused(code: ErrorCode, message = /./) {
  return (error: unknown) => error instanceof TrustedPodsError && error.code === code && message.test(error.message)
}

test('an address is a path or unix://; another is refused', () => {
  assert.equal(socketPath('unix:///run/docker.sock'), '/run/docker.sock')
  assert.equal(socketPath('/run/docker.sock'), '/run/docker.sock')
  for (const address of ['tcp://10.0.0.1:2375', 'ssh://me@host', 'docker.sock', 'unix://docker.sock']) {
    assert.throws(() => socketPath(address), refused('PLATFORM_CONFIG'), address)
  }
})

test('the engine that the configuration names comes before DOCKER_HOST, and no other is tried', async () => {
  const [a, b] = [
    { Version: '20.10.24', ApiVersion: '1.41' },
    { Version: '29.0.0', ApiVersion: '1.52' },
  ]
  await speaking('a.sock', versionOf(a), async (named) => {
    await speaking('b.sock', versionOf(b), async (host) => {
      const env = { DOCKER_HOST: `unix://${host}` }
      const stateDir = join(folder, 'never')
      const seen = async (socket?: string) => (await openEngine({ socket, env, stateDir, log })).version
      assert.equal(await seen(named), '20.10.24')
      assert.equal(await seen(), '29.0.0')
    })
  })
  const gone = { socket: join(folder, 'a.sock'), stateDir: folder, log }
  await assert.rejects(openEngine(gone), refused('PLATFORM_ENGINE_FAILED', /ENOENT/))
})

test('an engine that is too old is refused by name and version', async () => {
  const cases = [
    { Version: '19.03.0', ApiVersion: '1.40' },
    { Version: '4.9.4', ApiVersion: '1.41', Components: [{ Name: 'Podman Engine' }] },
    { Version: '5.3.9', ApiVersion: '1.41', Components: [{ Name: 'Podman Engine' }] },
  ]
  for (const version of cases) {
    await speaking('old.sock', versionOf(version), async (socket) => {
      const opening = openEngine({ socket, stateDir: folder, log })
      await assert.rejects(opening, refused('PLATFORM_CONFIG', new RegExp(version.Version)))
    })
  }
  const podman = { Version: '5.10.0', ApiVersion: '1.41', Components: [{ Name: 'Podman Engine' }] }
  await speaking('new.sock', versionOf(podman), async (socket) => {
    assert.equal((await openEngine({ socket, stateDir: folder, log })).name, 'Podman Engine')
  })
})

test('what answers but is no engine is PLATFORM_ENGINE_FAILED', async () => {
  const answers = ['', 'hello', '[]', '{"ApiVersion":"../x"}', '{"ApiVersion":41}']
  for (const answer of answers) {
    await speaking(
      'odd.sock',
      (_, response) => response.end(answer),
      async (socket) => {
        await assert.rejects(connectEngine(socket), refused('PLATFORM_ENGINE_FAILED'), answer)
      },
    )
  }
  await speaking(
    'rude.sock',
    (request) => request.socket.destroy(),
    async (socket) => {
      await assert.rejects(connectEngine(socket), refused('PLATFORM_ENGINE_FAILED', /ECONNRESET/))
    },
  )
})

test('an engine’s words are cut, and an aborted request ends with its signal’s reason', async () => {
  const listener: RequestListener = (request, response) => {
    if (request.url === '/version') return response.end('{"ApiVersion":"1.41"}')
    if (request.url === '/v1.41/silent') return request
    return response.writeHead(500).end(JSON.stringify({ message: `no\n${'x'.repeat(10_000)}` }))
  }
  await speaking('loud.sock', listener, async (socket) => {
    const engine = await connectEngine(socket)
    await assert.rejects(
      engine.ask({ path: '/fails' }),
      (error) => refused('PLATFORM_ENGINE_FAILED', /500 no x+$/)(error) && String(error).length < 700,
    )
    const reason = new Error('enough')
    const abort = new AbortController()
    const asked = engine.ask({ path: '/silent', signal: abort.signal })
    abort.abort(reason)
    await assert.rejects(asked, reason)
  })
})

test('sockets of a state folder with a long path lie in a short one of their own below /run', () => {
  const long = daemonPaths(`/${'x'.repeat(80)}`)
  assert.match(long.socket, /^\/run\/trusted-pods-[0-9a-f]{12}\/engine\.sock$/)
  assert.equal(long.data, `/${'x'.repeat(80)}/data`)
  assert.notEqual(daemonPaths(`/${'y'.repeat(80)}`).socket, long.socket)
  assert.equal(daemonPaths(`/${'x'.repeat(60)}`).socket, `/${'x'.repeat(60)}/engine.sock`)
})
