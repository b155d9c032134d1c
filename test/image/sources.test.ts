/** Blocks from others than the publisher: the next source where one lacks, lies or is gone, and nothing dialled that strangers must not have dialled. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p } from '@libp2p/interface'
import { filesBelow } from '@trusted-pods/platform/block-files.ts'
import { createDialGuard } from '@trusted-pods/platform/dial-guard.ts'
import { gatewaySource } from '@trusted-pods/platform/images/gateway-source.ts'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { PodSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { readBlock } from '@trusted-pods/protocol/image/block.ts'
import type { BlockSource } from '@trusted-pods/protocol/image/block-source.ts'
import { serveBlocks } from '@trusted-pods/protocol/image/blocks.ts'
import { fetchTreeFrom } from '@trusted-pods/protocol/image/fetch-tree.ts'
import { peerSource } from '@trusted-pods/protocol/image/peer-source.ts'
import { ImageIntake } from '@trusted-pods/provider/image-intake.ts'
import { createImageSources } from '@trusted-pods/provider/image-sources.ts'
import { MemoryBlockstore } from 'blockstore-core'
import type { Blockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import {
  backwards,
  blocksOf,
  fails,
  MAX_BYTES,
  publishBlocks,
  serveInstead,
  totalBytes,
} from '../support/block-transfer.ts'
import { startGateway } from '../support/gateway-process.ts'
import { startNodePair } from '../support/nodes.ts'
import { skipWithout } from '../support/programs.ts'

const noOpenssl = await skipWithout('openssl')
const LOOPBACK = createDialGuard({ allowPrivate: true })

/** A store that counts what is read of it, as if it had only some of its blocks. */
function part(blockstore: MemoryBlockstore, has: (index: number) => boolean) {
  const order = new Map<string, number>()
  const read: string[] = []
  const isThere = (cid: CID) => {
    const key = cid.toString()
    if (!order.has(key)) order.set(key, order.size)
    return has(order.get(key) ?? 0)
  }
  const store: Blockstore = Object.assign(Object.create(blockstore), {
    has: (cid: CID) => isThere(cid) && blockstore.has(cid),
    async *get(cid: CID) {
      if (!isThere(cid)) throw Object.assign(new Error('none'), { name: 'NotFoundError' })
      read.push(cid.toString())
      yield* blockstore.get(cid)
    },
  })
  return { store, read }
}

/** `image publish --serve` of somebody. */
async function startServer(t: TestContext, blockstore: Blockstore) {
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: ['/ip4/127.0.0.1/tcp/0'] })
  t.after(() => node.stop())
  await serveBlocks(node, { blockstore })
  const [address] = node.getMultiaddrs()
  return { node, address: String(address) }
}

async function startPuller(t: TestContext): Promise<Libp2p> {
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  t.after(() => node.stop())
  return node
}

interface IntakeParts {
  readonly gateways?: readonly string[]
  readonly guard?: typeof LOOPBACK
  readonly ca?: string
  readonly reserveBytes?: number
}

async function startIntake(
  t: TestContext,
  { gateways = [], guard = LOOPBACK, ca, reserveBytes = 0 }: IntakeParts = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'tpod-sources-'))
  t.after(() => rm(folder, { recursive: true }))
  const node = await startPuller(t)
  const sources = createImageSources({ node, guard, gateways, ...(ca !== undefined && { ca }) })
  const limits = { encryptedBytes: MAX_BYTES, unpackedBytes: MAX_BYTES }
  const runtime = { importImage: () => assert.fail('nothing is opened here') }
  const intake = new ImageIntake({ folder, reserveBytes, coldBytes: 0, runtime, limits, sources })
  const fetch = (
    cid: Uint8Array,
    addresses: readonly string[],
    more: { quotedBytes?: number; signal?: AbortSignal } = {},
  ) => {
    const pod = create(PodSchema, { containers: [{ name: 'a', image: { cid, sources: [...addresses] } }] })
    const signal = new AbortController().signal
    return intake.fetch('pod', pod, { quotedBytes: 0, signal, onProgress() {}, ...more })
  }
  return { fetch, node, folder }
}

const pull = (sources: readonly BlockSource[], cid: Uint8Array, blockstore: Blockstore, silenceMs = 5_000) =>
  fetchTreeFrom(sources, { cid, blockstore, maxBytes: MAX_BYTES, silenceMs })

test('what the publisher lacks comes from the next source, and no block is asked of two that have it', async (t) => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishBlocks()
  const [ours, theirs] = [part(blockstore, (i) => i < 5), part(blockstore, () => true)]
  await serveBlocks(pair.publisher, { blockstore: ours.store })
  const other = await startServer(t, theirs.store)
  const second = await pair.provider.dial(other.node.getMultiaddrs())
  const store = new MemoryBlockstore()
  const left: string[] = []
  const { bytes } = await fetchTreeFrom([peerSource(await backwards(pair)), peerSource(second, 'the other one')], {
    cid: published.cid,
    blockstore: store,
    maxBytes: MAX_BYTES,
    onLeft: (source, { message }) => left.push(`${source}: ${message}`),
  })
  assert.deepEqual(await blocksOf(store), await blocksOf(blockstore))
  assert.equal(bytes, totalBytes(await blocksOf(blockstore)))
  assert.equal(left.length, 1)
  assert.match(left[0] ?? '', /^the publisher: the publisher does not have block/)
  assert.equal(ours.read.length, 5)
  assert.equal(new Set([...ours.read, ...theirs.read]).size, ours.read.length + theirs.read.length)
})

test('two sources that have every other block each make a whole tree', async (t) => {
  await using pair = await startNodePair()
  const { blockstore, published } = await publishBlocks()
  // The root and the folders from the first: what is below them is asked of it before it is left.
  const even = part(blockstore, (i) => i < 4 || i % 2 === 0)
  await serveBlocks(pair.publisher, { blockstore: even.store })
  const lackedByTheFirst = part(blockstore, () => true)
  const other = await startServer(t, lackedByTheFirst.store)
  const second = await pair.provider.dial(other.node.getMultiaddrs())
  const store = new MemoryBlockstore()
  await pull([peerSource(await backwards(pair)), peerSource(second)], published.cid, store)
  assert.deepEqual(await blocksOf(store), await blocksOf(blockstore))
  assert.ok(even.read.length > 4, 'the first was asked on after it lacked one')
  assert.equal(even.read.length + lackedByTheFirst.read.length, (await blocksOf(blockstore)).size)
})

test('a source that lies, that answers for another block, that is silent or that does not serve is left for the next', async (t) => {
  const { blockstore, published } = await publishBlocks()
  const good = await startServer(t, blockstore)
  const bad: Record<string, Parameters<typeof serveInstead>[1] | undefined> = {
    'another hash': (cid) => ({ cid, found: true, data: Buffer.from('false') }),
    'answered for another block': () => ({ cid: Buffer.from('other'), found: true, data: Buffer.from('x') }),
    'no byte from the publisher': () => undefined,
    'pulling the image failed': undefined,
  }
  for (const [reason, answer] of Object.entries(bad)) {
    await using pair = await startNodePair()
    if (answer) await serveInstead(pair, answer)
    const second = await pair.provider.dial(good.node.getMultiaddrs())
    const store = new MemoryBlockstore()
    const left: string[] = []
    await fetchTreeFrom([peerSource(await backwards(pair)), peerSource(second)], {
      cid: published.cid,
      blockstore: store,
      maxBytes: MAX_BYTES,
      silenceMs: 300,
      onLeft: (_, { message }) => left.push(message),
    })
    assert.deepEqual(await blocksOf(store), await blocksOf(blockstore), reason)
    assert.match(left.join(), new RegExp(reason))
  }
})

test('the cap holds over all sources, and no other source is asked once it is passed', async (t) => {
  const { blockstore, published } = await publishBlocks()
  const [first, second] = [part(blockstore, () => true), part(blockstore, () => true)]
  const addresses = [(await startServer(t, first.store)).address, (await startServer(t, second.store)).address]
  const { fetch } = await startIntake(t)
  const bytes = totalBytes(await blocksOf(blockstore))
  await assert.rejects(
    fetch(published.cid, addresses, { quotedBytes: bytes - 1 }),
    fails('PROVISION_IMAGE_FETCH', /tree has over \d+ bytes, the most that is allowed/),
  )
  assert.equal(second.read.length, 0)
  assert.equal(await fetch(published.cid, addresses, { quotedBytes: bytes }), bytes)
})

test('without its publisher an image comes from a peer that the manifest names, over a connection that is closed then', async (t) => {
  const { blockstore, published } = await publishBlocks()
  const { address, node } = await startServer(t, blockstore)
  const puller = await startIntake(t)
  assert.equal(await puller.fetch(published.cid, [address]), totalBytes(await blocksOf(blockstore)))
  assert.equal(puller.node.getConnections().length, 0)
  // Held already: nobody is asked.
  await node.stop()
  assert.equal(await puller.fetch(published.cid, []), totalBytes(await blocksOf(blockstore)))
})

test('a peer of another id than the manifest says, and one that is not there, give nothing and say no more', async (t) => {
  const { blockstore, published } = await publishBlocks()
  const [right, wrong] = [await startServer(t, blockstore), await startServer(t, blockstore)]
  const { fetch } = await startIntake(t)
  const swapped = right.address.replace(/\/p2p\/.*/, `/p2p/${wrong.node.peerId}`)
  const closed = right.address.replace(/tcp\/\d+/, `tcp/${await unusedPort()}`)
  for (const address of [swapped, closed])
    await assert.rejects(fetch(published.cid, [address]), (error: Error) => {
      assert.equal(error.message, `${address} could not be reached`)
      return true
    })
})

test('without its publisher an image comes from a gateway that the manifest names', { skip: noOpenssl }, async (t) => {
  const { blockstore, published } = await publishBlocks()
  await using gateway = await startGateway(blockstore)
  const { fetch } = await startIntake(t, { ca: gateway.ca })
  assert.equal(
    await fetch(published.cid, [`https://127.0.0.1:${gateway.port}`]),
    totalBytes(await blocksOf(blockstore)),
  )
  assert.equal(new Set(gateway.asked).size, gateway.asked.length)
  assert.ok(gateway.connections <= 6, `${gateway.connections} connections`)
})

test('a gateway with a certificate of nobody is not believed', { skip: noOpenssl }, async (t) => {
  const { blockstore, published } = await publishBlocks()
  await using gateway = await startGateway(blockstore)
  const { fetch } = await startIntake(t)
  await assert.rejects(
    fetch(published.cid, [`https://127.0.0.1:${gateway.port}`]),
    fails('PROVISION_IMAGE_FETCH', /could not be reached/),
  )
  assert.deepEqual(gateway.asked, [])
})

test('a gateway that lies, redirects, fails, floods or breaks off is left for the next one', {
  skip: noOpenssl,
}, async (t) => {
  const { blockstore, published } = await publishBlocks()
  await using good = await startGateway(blockstore)
  let hits = 0
  const inside = createServer((_, response) => {
    hits++
    response.end('secret')
  })
  await new Promise<void>((resolve) => inside.listen(0, '127.0.0.1', resolve))
  t.after(() => inside.close())
  const location = `http://127.0.0.1:${(inside.address() as AddressInfo).port}/latest/meta-data`
  const bad: Record<string, Parameters<typeof startGateway>[1]> = {
    'has another hash': { answer: (_, response) => response.end('false') },
    'answers 302': { answer: (_, response) => response.writeHead(302, { location }).end() },
    'answers 500': { answer: (_, response) => response.writeHead(500).end() },
    'over 2097152 bytes': { answer: (_, response) => response.end(Buffer.alloc(3 << 20)) },
    'broke off': {
      answer: (_, response, block) => {
        response.writeHead(200, { 'content-length': block.length })
        response.write(block.subarray(0, block.length - 1), () => response.destroy())
      },
    },
  }
  for (const [reason, options] of Object.entries(bad)) {
    await using gateway = await startGateway(blockstore, options)
    const [first, next] = [gateway, good].map(({ port, ca }) =>
      gatewaySource(`https://127.0.0.1:${port}`, { name: 'a gateway', ca }),
    )
    const store = new MemoryBlockstore()
    const left: string[] = []
    await fetchTreeFrom([first ?? assert.fail(), next ?? assert.fail()], {
      cid: published.cid,
      blockstore: store,
      maxBytes: MAX_BYTES,
      onLeft: (_, { message }) => left.push(message),
    })
    assert.match(left.join(), new RegExp(reason))
    assert.deepEqual(await blocksOf(store), await blocksOf(blockstore), reason)
  }
  assert.equal(hits, 0)
})

test('a silent gateway ends by the same limit as a silent peer', { skip: noOpenssl }, async () => {
  const { blockstore, published } = await publishBlocks()
  await using gateway = await startGateway(blockstore, { answer: () => {} })
  const source = gatewaySource(`https://127.0.0.1:${gateway.port}`, { name: 'a gateway', ca: gateway.ca })
  await assert.rejects(
    pull([source], published.cid, new MemoryBlockstore(), 300),
    fails('PROVISION_IMAGE_FETCH', /no byte from a gateway for 300 ms/),
  )
})

test('a name is looked up once and what was checked is dialled, for all connections', { skip: noOpenssl }, async () => {
  const { blockstore, published } = await publishBlocks()
  await using gateway = await startGateway(blockstore)
  const looked: string[] = []
  const resolve = async (host: string, port: number) => {
    looked.push(`${host}:${port}`)
    return [{ address: '127.0.0.1', family: 4 }]
  }
  const origin = `https://gateway.test:${gateway.port}`
  const store = new MemoryBlockstore()
  await pull([gatewaySource(origin, { name: 'a gateway', resolve, ca: gateway.ca })], published.cid, store)
  assert.deepEqual(await blocksOf(store), await blocksOf(blockstore))
  assert.deepEqual(looked, [`gateway.test:${gateway.port}`])
})

test('unless the operator allows it nothing private is dialled, by address or by name', async (t) => {
  const { published } = await publishBlocks()
  const accepted: unknown[] = []
  const trap = createTcpServer((socket) => accepted.push(socket.destroy()))
  await new Promise<void>((resolve) => trap.listen({ port: 0, host: '::' }, resolve))
  t.after(() => trap.close())
  const { port } = trap.address() as AddressInfo
  const lookup = async () => [{ address: '127.0.0.1', family: 4 }]
  const peerId = (await startPuller(t)).peerId.toString()
  const { fetch } = await startIntake(t, { guard: createDialGuard({ allowPrivate: false, lookup }) })
  const hosts = ['127.0.0.1', '127.1', '0x7f000001', '[::1]', '[::ffff:127.0.0.1]', 'inside.example', 'localhost']
  const urls = hosts.map((host) => `https://${host}:${port}`)
  const peers = [
    `/ip4/127.0.0.1/tcp/${port}/p2p/${peerId}`,
    `/ip6/::1/tcp/${port}/p2p/${peerId}`,
    `/ip6/::ffff:127.0.0.1/tcp/${port}/p2p/${peerId}`,
    `/dns4/inside.example/tcp/${port}/p2p/${peerId}`,
  ]
  for (const source of [...urls, ...peers])
    await assert.rejects(fetch(published.cid, [source]), fails('PROVISION_IMAGE_FETCH', /is not dialled/), source)
  assert.equal(accepted.length, 0)
})

test("the operator's own gateway needs no permission and is asked last; where it is stays unsaid", async (t) => {
  const { blockstore, published } = await publishBlocks()
  const asked: string[] = []
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const cid = CID.parse(/^\/ipfs\/([^?]+)/.exec(request.url ?? '')?.[1] ?? '')
    asked.push(cid.toString())
    if (!(await blockstore.has(cid))) return void response.writeHead(404).end()
    response.end(await readBlock(blockstore, cid))
  }
  const server = createServer((request, response) => void serve(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const gateways = [`http://127.0.0.1:${(server.address() as AddressInfo).port}`]
  const { fetch } = await startIntake(t, { gateways, guard: createDialGuard({ allowPrivate: false }) })
  const half = part(blockstore, (i) => i < 3)
  const named = await startServer(t, half.store)
  await fetch(published.cid, [named.address])
  assert.equal(asked.length, (await blocksOf(blockstore)).size, 'the named one is on this machine and was not asked')
  const nowhere = CID.createV1(0x55, { ...CID.decode(published.cid).multihash })
  await blockstore.delete(nowhere)
  const { fetch: again } = await startIntake(t, { gateways })
  await assert.rejects(
    again(nowhere.bytes, []),
    fails('PROVISION_IMAGE_FETCH', /^a gateway of the provider does not have block/),
  )
})

async function unusedPort(): Promise<number> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('a gateway that changes the protocol unasked is left like one that is gone', async (t) => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n'),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { published } = await publishBlocks()
  const { port } = server.address() as AddressInfo
  const source = gatewaySource(`http://127.0.0.1:${port}`, { name: 'the gateway' })
  await assert.rejects(
    pull([source], published.cid, new MemoryBlockstore()),
    fails('PROVISION_IMAGE_FETCH', /the gateway could not be reached/),
  )
})

test('no block goes into the reserve of the disk, however much was promised before', async (t) => {
  const { blockstore, published } = await publishBlocks()
  const other = await startServer(t, blockstore)
  const { fetch, folder } = await startIntake(t, { reserveBytes: Number.MAX_SAFE_INTEGER })
  await assert.rejects(
    fetch(published.cid, [other.address]),
    fails('PROVISION_IMAGE_FETCH', /^the provider's disk has no room for more of the image$/),
  )
  assert.deepEqual(await filesBelow(join(folder, 'store')), [])
})
