import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { ProviderRecordSchema } from '../gen/trustedpods/v0/registry_pb.ts'
import { encodeRecordFile } from './file-source.ts'
import { signRecord } from './record.ts'
import type { RegistryRow } from './source.ts'
import { urlSource } from './url-source.ts'

const PLACE = { chainId: 1, registry: `0x${'11'.repeat(20)}` } as const

test('a list at a URL is read like a file, fetched anew each time', async () => {
  let regions = ['one', 'two']
  await using server = await serveHttp((_, response) => {
    void Promise.all(regions.map(recordOf)).then((records) => response.end(encodeRecordFile(records)))
  })
  const source = urlSource(server.url, PLACE)
  assert.deepEqual(await regionsOf(source.providers()), regions)
  regions = ['three']
  assert.deepEqual(await regionsOf(source.providers()), regions)
})

test('a list that cannot be fetched whole is CHANNEL_RPC_UNAVAILABLE without the path of its URL, never an empty list', async () => {
  const answers: [RequestListener, RegExp][] = [
    [(_, response) => response.writeHead(404).end(), /status 404/],
    [(_, response) => response.destroy(), /cannot be read/],
    [
      (_, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('x'.repeat(10), () => response.destroy())
      },
      /cannot be read/,
    ],
    [(_, response) => flood(response), /longer than/],
  ]
  for (const [listener, message] of answers) {
    await using server = await serveHttp(listener)
    await assert.rejects(regionsOf(urlSource(`${server.url}secret`, PLACE).providers()), (error) => {
      assert.match(String(error), message)
      assert.doesNotMatch(String(error), /secret/)
      return true
    })
    await assertRefused('CHANNEL_RPC_UNAVAILABLE', message, () => regionsOf(urlSource(server.url, PLACE).providers()))
  }
})

test('reading ends with the signal', async () => {
  await using server = await serveHttp(() => undefined)
  const abort = new AbortController()
  const reading = regionsOf(urlSource(server.url, PLACE).providers({ signal: abort.signal }))
  abort.abort(new Error('enough'))
  await assert.rejects(reading, /enough/)
})

/** More than any list may have. */
function flood(response: Parameters<RequestListener>[1]): void {
  const block = Buffer.alloc(2 ** 20)
  const more = () => {
    while (!response.destroyed && response.write(block));
    if (!response.destroyed) response.once('drain', more)
  }
  more()
}

async function serveHttp(listener: RequestListener) {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function recordOf(region: string): Promise<Uint8Array> {
  const key = await generateKeyPair('Ed25519')
  const record = create(ProviderRecordSchema, {
    chainId: 1n,
    registry: new Uint8Array(20).fill(0x11),
    account: new Uint8Array(20).fill(1),
    peerId: peerIdFromPrivateKey(key).toMultihash().bytes,
    multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001').bytes],
    region,
    sequence: 1n,
    expiresAtMs: BigInt(Date.now() + 600_000),
  })
  return await signRecord(record, key)
}

async function regionsOf(rows: AsyncIterable<RegistryRow>): Promise<string[]> {
  const regions: string[] = []
  for await (const row of rows) regions.push('record' in row ? row.record.region : row.skipped)
  return regions
}
