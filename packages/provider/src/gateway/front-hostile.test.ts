import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { startFront } from './front.ts'

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const front = await startFront({ host: '127.0.0.1', port: 0, log, upgradedIdleMs: 400 })
const servers: Server[] = []
after(async () => {
  await front.close()
  for (const server of servers) server.close()
})

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
const upgradeTo = (host: string) =>
  `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`

/** A pod that speaks whatever `serve` writes, routed to under `host`. */
/** Each server is a pod of its own. */
let podCount = 0

async function rawPod(host: string, serve: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    serve(socket)
  })
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  podCount++
  front.setRoute(host, { address: '127.0.0.1', port: (server.address() as AddressInfo).port, podId: `pod-${podCount}` })
  return server
}

/** A client that says `text` and never ends its own side, as nothing of a hostile one can be trusted to. */
function say(text: string): Socket {
  const client = connect({ ...front.address, allowHalfOpen: true })
  client.on('error', () => {})
  client.write(text, 'latin1')
  return client
}

async function heard(client: Socket): Promise<string> {
  let seen = ''
  for await (const chunk of client) seen += chunk
  client.destroy()
  return seen
}

/** What comes until the front has closed the connection whole: a half-closed one ends, but takes what is written to it. */
async function untilLetGo(client: Socket): Promise<string> {
  const closed = new Promise((settle) => client.once('close', settle))
  let seen = ''
  for await (const chunk of client.iterator({ destroyOnReturn: false })) seen += chunk
  const timer = setInterval(() => client.write('x'), 20)
  await closed
  clearInterval(timer)
  return seen
}

/** Until `server` has no connection left; 10 s at most. */
async function emptied(server: Server): Promise<void> {
  const signal = AbortSignal.timeout(10_000)
  const count = () =>
    new Promise<number>((settle, fail) => server.getConnections((error, n) => (error ? fail(error) : settle(n))))
  while ((await count()) > 0) {
    signal.throwIfAborted()
    await new Promise((settle) => setTimeout(settle, 10))
  }
}

for (const name of ['content-length', 'host', 'transfer-encoding', 'Content-Length, Host', 'x-forwarded-for']) {
  test(`a body is no second request to the pod though Connection names ${name}`, async () => {
    const inner = 'GET /second HTTP/1.1\r\nHost: smuggle.example\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n'
    let seen = ''
    await rawPod('smuggle.example', (socket) =>
      socket.on('data', (chunk) => {
        seen += chunk
        if (seen.includes('/second')) socket.end('HTTP/1.1 204 No Content\r\n\r\n')
      }),
    )
    const head = `GET /first HTTP/1.1\r\nHost: smuggle.example\r\nConnection: close, ${name}\r\nContent-Length: ${inner.length}\r\n\r\n`
    assert.match(await heard(say(head + inner)), /^HTTP\/1\.1 204 /)
    const [headers = '', body] = seen.split(/\r\n\r\n([\s\S]*)/)
    assert.equal(body, inner)
    assert.match(headers, new RegExp(`^Content-Length: ${inner.length}$`, 'm'))
    assert.match(headers, /^Host: smuggle\.example\r$/m)
    assert.match(headers, /^X-Forwarded-For: 127\.0\.0\.1\r$/m)
    front.removeRoute('smuggle.example', `pod-${podCount}`)
  })
}

test('a pod cannot take the length off its own answer', async () => {
  await rawPod('length.example', (socket) =>
    socket.end('HTTP/1.1 200 OK\r\nConnection: content-length, close\r\nContent-Length: 2\r\n\r\nok'),
  )
  const answer = await heard(say('GET / HTTP/1.1\r\nHost: length.example\r\nConnection: close\r\n\r\n'))
  assert.match(answer, /content-length: 2\r\n[\s\S]*\r\n\r\nok$/i)
})

for (const answer of [
  'HTTP/1.1 099 Low\r\n\r\n',
  'HTTP/1.1 1000 High\r\n\r\n',
  'HTTP/1.1 200 \x01bad\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n',
  'HTTP/1.1 200 OK\r\nA: b\x01c\r\nContent-Length: 2\r\n\r\nok',
  'garbage',
  '',
]) {
  test(`a pod that answers ${JSON.stringify(answer)} is 502`, async () => {
    await rawPod('garbage.example', (socket) => socket.once('data', () => socket.end(answer, 'latin1')))
    assert.match(await heard(say('GET / HTTP/1.1\r\nHost: garbage.example\r\n\r\n')), /^HTTP\/1\.1 502 Bad Gateway\r\n/)
    front.removeRoute('garbage.example', `pod-${podCount}`)
  })
}

test('an upgrade to an unknown host is answered and closed, though the client holds its side open', async () => {
  const clients = Array.from({ length: 20 }, () => say(upgradeTo('nobody.example')))
  for (const client of clients) {
    assert.match(await untilLetGo(client), /^HTTP\/1\.1 421 [\s\S]*no pod here serves this host\n$/)
  }
})

test('a pod’s refusal of an upgrade closes the connection', async () => {
  const pod = await rawPod('no.example', (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')),
  )
  assert.match(await heard(say(upgradeTo('no.example'))), /^HTTP\/1\.1 403 Forbidden[\s\S]*no$/)
  await emptied(pod)
})

test('a WebSocket whose pod ends its side is closed on both', async () => {
  const pod = await rawPod('half.example', (socket) => socket.once('data', () => socket.end(`${SWITCHING}bye`)))
  assert.match(await untilLetGo(say(upgradeTo('half.example'))), /bye$/)
  await emptied(pod)
})

test('a WebSocket whose client ends its side is closed on both, though the pod goes on', async () => {
  const pod = await rawPod('talks.example', (socket) =>
    socket.once('data', () => {
      socket.write(SWITCHING)
      const timer = setInterval(() => socket.write('more'), 20)
      socket.once('close', () => clearInterval(timer))
    }),
  )
  const client = say(upgradeTo('talks.example'))
  await once(client, 'data')
  client.end()
  assert.match(await untilLetGo(client), /more$/)
  await emptied(pod)
})

test('a WebSocket on which nothing passes is closed on both sides; one that is in use is not', async (t) => {
  const pod = await rawPod('idle.example', (socket) =>
    socket.once('data', () => {
      socket.write(SWITCHING)
      socket.pipe(socket)
    }),
  )
  const pinging = say(upgradeTo('idle.example'))
  const pings = setInterval(() => pinging.write('ping'), 50)
  t.after(() => clearInterval(pings))
  pinging.resume()
  assert.match(await untilLetGo(say(upgradeTo('idle.example'))), /^HTTP\/1\.1 101 [\s\S]*\r\n\r\n$/)
  assert.equal(pinging.readableEnded, false)
  clearInterval(pings)
  await untilLetGo(pinging)
  await emptied(pod)
})
