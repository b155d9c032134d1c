/** Records that are announced by their CID alone, from gateways that are well and from those that are not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { createWalletClient, http } from 'viem'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { sha256, toHex } from '../bytes.ts'
import { fromAddress } from '../chain/address.ts'
import type { Chain } from '../chain/client.ts'
import { providerRegistryAbi } from '../chain/gen/provider-registry.ts'
import type { RegistryEntry } from '../chain/registry.ts'
import { ProviderRecordSchema } from '../gen/trustedpods/v0/registry_pb.ts'
import { chainSource } from './chain-source.ts'
import { fetchFromGateways } from './gateway-records.ts'
import { signRecord } from './record.ts'
import { memoryRecordCache } from './record-cache.ts'

let dev: DevChain
before(async () => {
  dev = await startDevChain()
})
after(() => dev[Symbol.asyncDispose]())

const FOUND = 'a provider in '

/** What a listing, read to its end, shows of one provider. */
async function listed(chain: Chain, index: number, options: Parameters<typeof chainSource>[1]): Promise<string> {
  const { address } = dev.anvil.account(index)
  let shown: string | undefined
  for await (const row of chainSource(chain, options).providers())
    if (row.account === address) shown = 'record' in row ? `${FOUND}${row.record.region}` : row.skipped
  return shown ?? assert.fail('not listed')
}

async function announceCid(index: number, digest: Uint8Array, codec = 0x55): Promise<void> {
  const wallet = createWalletClient({ account: dev.anvil.account(index), transport: http(dev.anvil.rpc) })
  await wallet.writeContract({
    address: dev.config.registry,
    abi: providerRegistryAbi,
    functionName: 'announceCid',
    args: [`0x${toHex(digest)}`, codec],
    chain: null,
  })
}

async function recordOf(chain: Chain, region: string): Promise<Uint8Array> {
  const key = await generateKeyPair('Ed25519')
  const record = create(ProviderRecordSchema, {
    chainId: BigInt(chain.chainId),
    registry: fromAddress(chain.registry),
    account: fromAddress(chain.wallet?.account.address ?? assert.fail('no account')),
    peerId: peerIdFromPrivateKey(key).toMultihash().bytes,
    multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001').bytes],
    region,
    sequence: 1n,
    expiresAtMs: BigInt(Date.now() + 600_000),
  })
  return await signRecord(record, key)
}

/** A trustless gateway that has these blocks, by CID. */
async function serveBlocks(blocks: readonly Uint8Array[]) {
  const byPath = new Map<string, Uint8Array>()
  for (const block of blocks)
    byPath.set(`/ipfs/${CID.createV1(0x55, createDigest(0x12, await sha256(block)))}?format=raw`, block)
  const asked: string[] = []
  const server = await serveHttp((request, response) => {
    asked.push(request.url ?? '')
    const block = byPath.get(request.url ?? '')
    if (block) response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(block)
    else response.writeHead(404).end()
  })
  return { ...server, asked }
}

async function serveHttp(listener: RequestListener) {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

test('a record that was announced by its CID is found at a gateway, once; without one the row says where it is', async () => {
  const chain = await dev.connect(0)
  const record = await recordOf(chain, 'far')
  await announceCid(0, await sha256(record))
  await using gateway = await serveBlocks([record])
  assert.equal(await listed(chain, 0, {}), 'its record is on IPFS alone')
  const options = { gateways: [`${gateway.url}/`], cache: memoryRecordCache() }
  assert.equal(await listed(chain, 0, options), `${FOUND}far`)
  assert.equal(await listed(chain, 0, options), `${FOUND}far`)
  assert.equal(gateway.asked.length, 1)
})

test('what a gateway cannot give, or gives wrongly, skips that row with a reason, and the next gateway is asked', async () => {
  const chain = await dev.connect(1)
  const record = await recordOf(chain, 'near')
  await announceCid(1, await sha256(record))
  const wrong: [RequestListener, RegExp][] = [
    [(_, response) => response.end(record.with(0, 0)), /has another digest/],
    [(_, response) => response.end(new Uint8Array(5_000)), /longer than 4096 bytes/],
    [(_, response) => response.writeHead(504).end(), /status 504/],
    [(_, response) => response.destroy(), /127\.0\.0\.1:\d+: /],
  ]
  await using good = await serveBlocks([record])
  for (const [listener, reason] of wrong) {
    await using bad = await serveHttp(listener)
    assert.match(await listed(chain, 1, { gateways: [`${bad.url}/secret`] }), reason)
    assert.doesNotMatch(await listed(chain, 1, { gateways: [`${bad.url}/secret`] }), /secret/)
    assert.equal(await listed(chain, 1, { gateways: [bad.url, good.url] }), `${FOUND}near`)
  }
})

test('a record of another codec, and one that names another account, are skipped wherever they lie', async () => {
  const [own, other] = [await dev.connect(2), await dev.connect(3)]
  const record = await recordOf(own, 'mine')
  await announceCid(2, await sha256(record), 0x71)
  await announceCid(3, await sha256(record))
  await using gateway = await serveBlocks([record])
  const options = { gateways: [gateway.url] }
  assert.equal(await listed(own, 2, options), 'its record is no raw block')
  assert.match(await listed(other, 3, options), /names account/)
})

function rowOf(at: number): RegistryEntry {
  const digest = `0x${at.toString(16).padStart(64, '0')}` as const
  const provider = `0x${at.toString(16).padStart(40, '0')}` as const
  return { provider, digest, seq: 1, updatedBlock: 1n, exitAt: 0, bond: 0n, codec: 0x55 }
}

test('a gateway that hangs is given up after some requests, and all of them together take no longer than they may', async () => {
  let asked = 0
  await using silent = await serveHttp(() => void asked++)
  const rows = Array.from({ length: 200 }, (_, at) => rowOf(at + 1))
  const short = await fetchFromGateways(rows, { gateways: [silent.url], requestTimeoutMs: 100 })
  assert.equal(short.size, 200)
  assert.ok(asked <= 40, `${asked} requests`)
  const began = performance.now()
  const cut = await fetchFromGateways(rows, { gateways: [silent.url], budgetMs: 200 })
  assert.ok(performance.now() - began < 5_000)
  assert.ok([...cut.values()].every((record) => 'missing' in record))
})

test('many rows are asked for side by side, and the reader’s signal ends it', async () => {
  let atOnce = 0
  let most = 0
  await using slow = await serveHttp((_, response) => {
    most = Math.max(most, ++atOnce)
    setTimeout(() => {
      atOnce--
      response.writeHead(404).end()
    }, 20)
  })
  const rows = Array.from({ length: 64 }, (_, at) => rowOf(at + 1))
  await fetchFromGateways(rows, { gateways: [slow.url] })
  assert.ok(most > 4 && most <= 16, `${most} at once`)
  const abort = new AbortController()
  const reading = fetchFromGateways(rows, { gateways: [slow.url], signal: abort.signal })
  abort.abort(new Error('enough'))
  await assert.rejects(reading, /enough/)
})
