import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, request, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { startFront } from './front.ts'

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const front = await startFront({ host: '127.0.0.1', port: 0, log })
const servers: Server[] = []
after(async () => {
  await front.close()
  for (const server of servers) server.closeAllConnections()
  await Promise.all(servers.map((server) => new Promise((settle) => server.close(settle))))
})

/** Each server is a pod of its own. */
let podCount = 0

/** A pod's server, routed to under `host`. */
async function pod(host: string, listener: RequestListener): Promise<Server> {
  const server = createServer(listener)
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  podCount++
  front.setRoute(host, { address: '127.0.0.1', port: (server.address() as AddressInfo).port, podId: `pod-${podCount}` })
  return server
}

async function ask(
  host: string,
  {
    method = 'GET',
    path = '/',
    headers = {},
    body,
  }: { method?: string; path?: string; headers?: object; body?: string } = {},
): Promise<{ status: number; headers: IncomingMessage['headers']; body: string }> {
  const outgoing = request({ ...front.address, method, path, headers: { host, ...headers }, agent: false })
  outgoing.end(body)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
}

test('a request goes to the pod of its Host, whatever the case and port', async () => {
  await pod('a.example', (_, response) => response.end('pod a'))
  await pod('B.Example', (_, response) => response.end('pod b'))
  assert.equal((await ask('a.example')).body, 'pod a')
  assert.equal((await ask('A.EXAMPLE:8080')).body, 'pod a')
  assert.equal((await ask('b.example.')).body, 'pod b')
})

test('an unknown Host is answered 421, and so is one whose route was removed', async () => {
  assert.equal((await ask('nobody.example')).status, 421)
  await pod('gone.example', (_, response) => response.end())
  assert.equal((await ask('gone.example')).status, 200)
  front.removeRoute('GONE.example', `pod-${podCount}`)
  assert.equal((await ask('gone.example')).status, 421)
  assert.equal((await ask('a.example/../b')).status, 421)
})

test('what is no host name gets no route', () => {
  for (const name of ['', 'a b', 'x/y', 'é.example']) {
    assert.throws(
      () => front.setRoute(name, { address: '127.0.0.1', port: 1, podId: 'pod' }),
      (error) => error instanceof TrustedPodsError && error.code === 'PROVISION_BAD_POD',
    )
  }
})

test('a target with another host in it is refused', async () => {
  await pod('abs.example', (_, response) => response.end('reached'))
  assert.equal((await ask('abs.example', { path: 'http://elsewhere.example/' })).status, 400)
})

test('method, path, body, status and repeated headers pass; a hop’s own headers do not', async () => {
  let seen: IncomingMessage | undefined
  await pod('pass.example', (incoming, response) => {
    seen = incoming
    response
      .setHeader('set-cookie', ['a=1', 'b=2'])
      .setHeader('x-secret-hop', 'x')
      .setHeader('connection', 'x-secret-hop')
    response.writeHead(201, 'Made').write('got ')
    incoming.pipe(response)
  })
  const headers = {
    connection: 'close, x-mine',
    'x-mine': '1',
    'proxy-authorization': 'Basic x',
    te: 'trailers',
    'x-kept': 'yes',
  }
  const answer = await ask('pass.example', { method: 'PUT', path: '/p?q=1', headers, body: 'hello' })
  assert.equal(answer.status, 201)
  assert.equal(answer.body, 'got hello')
  assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(answer.headers['x-secret-hop'], undefined)
  assert.equal(seen?.method, 'PUT')
  assert.equal(seen?.url, '/p?q=1')
  assert.equal(seen?.headers['x-kept'], 'yes')
  for (const name of ['x-mine', 'proxy-authorization', 'te']) assert.equal(seen?.headers[name], undefined, name)
})

test('what a client claims of its address is replaced', async () => {
  await pod('fwd.example', (incoming, response) => response.end(JSON.stringify(incoming.headers)))
  const headers = {
    'x-forwarded-for': '1.2.3.4',
    forwarded: 'for=1.2.3.4',
    'x-real-ip': '1.2.3.4',
    'x-forwarded-host': 'evil',
  }
  const seen: unknown = JSON.parse((await ask('fwd.example', { headers })).body)
  assert.partialDeepStrictEqual(seen, {
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': 'fwd.example',
    'x-forwarded-proto': 'http',
  })
  assert.doesNotMatch(JSON.stringify(seen), /1\.2\.3\.4|evil/)
})

test('a body passes as it comes, both ways, before either has ended', async () => {
  await pod('stream.example', (incoming, response) => incoming.pipe(response))
  const outgoing = request({ ...front.address, method: 'POST', headers: { host: 'stream.example' }, agent: false })
  outgoing.write('first')
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  assert.equal(String((await once(response, 'data'))[0]), 'first')
  outgoing.end('second')
  assert.equal(await text(response), 'second')
})

test('a pod that listens nowhere is 503 with Retry-After, one that breaks off is 502', async () => {
  const server = await pod('down.example', (_, response) => response.end())
  await new Promise((settle) => server.close(settle))
  const down = await ask('down.example')
  assert.equal(down.status, 503)
  assert.equal(down.headers['retry-after'], '1')
  await pod('broken.example', (incoming) => incoming.socket.destroy())
  assert.equal((await ask('broken.example')).status, 502)
})

test('an answer that breaks off in its body is not passed as a whole one', async () => {
  await pod('half.example', (incoming, response) => {
    response.writeHead(200, { 'content-length': 100 }).write('some', () => incoming.socket.destroy())
  })
  await assert.rejects(ask('half.example'))
})

test('a host with too many open requests is answered 503, another is served meanwhile', async () => {
  const held: (() => void)[] = []
  await pod('busy.example', (_, response) => void held.push(() => response.end('done')))
  await pod('free.example', (_, response) => response.end('free'))
  const open = Array.from({ length: 256 }, () => ask('busy.example'))
  while (held.length < 256) await new Promise((settle) => setImmediate(settle))
  const refused = await ask('busy.example')
  assert.equal(refused.status, 503)
  assert.equal(refused.headers['retry-after'], '1')
  assert.equal((await ask('free.example')).body, 'free')
  for (const end of held) end()
  assert.ok((await Promise.all(open)).every(({ body }) => body === 'done'))
  const last = ask('busy.example')
  while (held.length < 257) await new Promise((settle) => setImmediate(settle))
  held[256]?.()
  assert.equal((await last).body, 'done')
})

test('a WebSocket’s bytes pass both ways after the pod’s 101; a refusal passes as it is', async () => {
  const server = await pod('ws.example', (_, response) => response.end('not upgraded'))
  server.on('upgrade', (incoming, socket) => {
    if (incoming.url === '/no') return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${incoming.headers['sec-websocket-key']}\r\n\r\nwelcome `,
    )
    return socket.pipe(socket)
  })
  const opened = await upgrade('/', 'websocket')
  assert.match(opened, /^HTTP\/1\.1 101 /)
  assert.match(opened, /sec-websocket-accept: key/i)
  assert.match(opened, /welcome ping$/)
  assert.match(await upgrade('/no', 'websocket'), /^HTTP\/1\.1 403 Forbidden[\s\S]*no$/)
  assert.match(await upgrade('/', 'h2c'), /^HTTP\/1\.1 200 [\s\S]*not upgraded/)
  front.removeRoute('ws.example', `pod-${podCount}`)
  assert.match(await upgrade('/', 'websocket'), /^HTTP\/1\.1 421 /)
})

/** What comes back until `ping` does or the other side closes. */
async function upgrade(path: string, protocol: string): Promise<string> {
  const socket = connect(front.address.port, front.address.host)
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ws.example\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Key: key\r\n\r\n`,
  )
  let seen = ''
  for await (const chunk of socket) {
    if (seen === '' && String(chunk).includes(' 101 ')) socket.write('ping')
    seen += chunk
    if (seen.endsWith('ping') || seen.includes('not upgraded')) break
  }
  socket.destroy()
  return seen
}

test('a port that is taken is PLATFORM_CONFIG', async () => {
  await assert.rejects(
    startFront({ ...front.address, log }),
    (error) => error instanceof TrustedPodsError && error.code === 'PLATFORM_CONFIG',
  )
})

test('close ends what is open, WebSockets too', async () => {
  const other = await startFront({ host: '127.0.0.1', port: 0, log })
  const server = createServer().on('upgrade', (_, socket) =>
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'),
  )
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  other.setRoute('ws', { address: '127.0.0.1', port: (server.address() as AddressInfo).port, podId: 'pod' })
  const socket = connect(other.address.port, other.address.host)
  socket.write('GET / HTTP/1.1\r\nHost: ws\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await once(socket, 'data')
  const ended = once(socket, 'close')
  socket.resume()
  await other.close()
  await ended
})
