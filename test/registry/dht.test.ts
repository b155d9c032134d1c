import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { fromAddress } from '@trusted-pods/protocol/chain/address.ts'
import {
  ProviderRecordRequestSchema,
  ProviderRecordResponseSchema,
  ProviderRecordSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import { joinDht, rendezvousCid } from '@trusted-pods/protocol/registry/dht.ts'
import { dhtSource } from '@trusted-pods/protocol/registry/dht-source.ts'
import { signRecord } from '@trusted-pods/protocol/registry/record.ts'
import type { RegistryRow, RegistrySource } from '@trusted-pods/protocol/registry/source.ts'
import { PROVIDER_RECORD } from '@trusted-pods/protocol/wire/protocols.ts'
import { serve } from '@trusted-pods/protocol/wire/serve.ts'
import { assertRefused } from '../support/assert-refused.ts'
import { memoryLog } from '../support/memory-log.ts'

const PLACE = { chainId: 31_337, registry: `0x${'22'.repeat(20)}` } as const
const ELSEWHERE = { chainId: 31_337, registry: `0x${'33'.repeat(20)}` } as const

test('providers of one registry find each other’s publishers over the DHT; who gives no record of its own is skipped', async () => {
  await using network = new AsyncDisposableStack()
  const [first, second, liar, silent, other] = await Promise.all(Array.from({ length: 5 }, () => startServer(network)))
  assert.ok(first && second && liar && silent && other)
  const bootstrap = first.node.getMultiaddrs().map(String)
  await serveRecord(first, await recordOf(first))
  await serveRecord(second, await recordOf(second))
  await serveRecord(liar, await recordOf(second))
  await serveRecord(other, await recordOf(other))
  for (const { node } of [second, liar, silent, other]) await joinDht(node, bootstrap)
  for (const { node } of [first, second, liar, silent]) await node.contentRouting.provide(await rendezvousCid(PLACE))
  await other.node.contentRouting.provide(await rendezvousCid(ELSEWHERE))

  const client = network.adopt(await startNode('client'), (node) => node.stop())
  const rows = await readUntil(dhtSource(client, { ...PLACE, bootstrap }), 4)
  const found = rows.flatMap((row) => ('record' in row ? [row.peerId.toString()] : []))
  assert.deepEqual(found.toSorted(), [first, second].map(({ node }) => node.peerId.toString()).toSorted())
  const skipped = rows.flatMap((row) => ('skipped' in row ? [row.skipped] : [])).toSorted()
  assert.equal(skipped.length, 2)
  assert.ok(skipped.some((reason) => reason.includes(`gives the record of ${second.node.peerId}`)))
  assert.ok(skipped.some((reason) => reason.startsWith(`peer ${silent.node.peerId} gives no record`)))
})

test('without a peer that leads in the registry cannot be read: CHANNEL_RPC_UNAVAILABLE, never an empty list', async () => {
  await using network = new AsyncDisposableStack()
  const client = network.adopt(await startNode('client'), (node) => node.stop())
  for (const bootstrap of [[], ['/ip4/127.0.0.1/tcp/1']]) {
    await assertRefused('CHANNEL_RPC_UNAVAILABLE', /no peer leads into the DHT/, () =>
      readAll(dhtSource(client, { ...PLACE, bootstrap })),
    )
  }
})

interface Server {
  readonly node: Libp2p
  readonly key: PrivateKey
}

async function startServer(network: AsyncDisposableStack): Promise<Server> {
  const key = await generateKeyPair('Ed25519')
  return { key, node: network.adopt(await startNode('server', key), (node) => node.stop()) }
}

async function startNode(dht: 'server' | 'client', key?: PrivateKey): Promise<Libp2p> {
  const privateKey = key ?? (await generateKeyPair('Ed25519'))
  return await createNode({ privateKey, listen: dht === 'server' ? ['/ip4/127.0.0.1/tcp/0'] : [], dht })
}

async function recordOf({ node, key }: Server): Promise<Uint8Array> {
  const record = create(ProviderRecordSchema, {
    chainId: BigInt(PLACE.chainId),
    registry: fromAddress(PLACE.registry),
    account: new Uint8Array(20).fill(1),
    peerId: node.peerId.toMultihash().bytes,
    multiaddrs: node.getMultiaddrs().map(({ bytes }) => bytes),
    sequence: 1n,
    expiresAtMs: BigInt(Date.now() + 600_000),
  })
  return await signRecord(record, key)
}

async function serveRecord({ node }: Server, record: Uint8Array): Promise<void> {
  await serve(
    node,
    PROVIDER_RECORD,
    {
      request: ProviderRecordRequestSchema,
      response: ProviderRecordResponseSchema,
      refuse: (value) => ({ result: { case: 'refusal' as const, value } }),
      answer: async () => ({ result: { case: 'record' as const, value: record } }),
    },
    { log: memoryLog() },
  )
}

/** Peers learn of each other in the background. */
async function readUntil(source: RegistrySource, count: number): Promise<RegistryRow[]> {
  for (const end = Date.now() + 30_000; ; ) {
    const rows = await readAll(source)
    if (rows.length >= count || Date.now() > end) return rows
  }
}

async function readAll(source: RegistrySource): Promise<RegistryRow[]> {
  const rows: RegistryRow[] = []
  for await (const row of source.providers()) rows.push(row)
  return rows
}
