import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import { dhtSource } from '@trusted-pods/protocol/registry/dht-source.ts'
import type { RegistryRow, RegistrySource } from '@trusted-pods/protocol/registry/source.ts'
import { startDevChain } from '../../../test/support/dev-chain.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { keepProviding, serveRecord } from './dht-listing.ts'
import { openListing } from './listing.ts'

test('a provider lets itself be found in the DHT and gives its record, until it does not want to be found', async () => {
  await using stack = new AsyncDisposableStack()
  const dev = stack.use(await startDevChain())
  const folder = stack.adopt(await mkdtemp(join(tmpdir(), 'trusted-pods-dht-')), (path) =>
    rm(path, { recursive: true }),
  )
  const log = memoryLog()
  const start = async (dht: 'server' | 'client') => {
    const privateKey = await generateKeyPair('Ed25519')
    const listen = dht === 'server' ? ['/ip4/127.0.0.1/tcp/0'] : []
    return { privateKey, node: stack.adopt(await createNode({ privateKey, listen, dht }), (node) => node.stop()) }
  }
  const [first, provider, client] = await Promise.all([start('server'), start('server'), start('client')])
  const bootstrap = first.node.getMultiaddrs().map(String)
  const chain = await dev.connect(0)
  const listing = openListing(folder)
  const pricing = create(PricingTableSchema, { chainId: 1n, token: new Uint8Array(20), symbol: 'W' })
  const said = {
    pricing,
    capacity: [],
    region: 'DE/fsn1',
    sandbox: 'runsc',
    attester: { evidenceType: 'snp', simulated: true, findPlatformId: async () => undefined },
  } as const
  const parts = { ...said, node: provider.node, identity: provider.privateKey, chain, listing }
  await serveRecord(parts, { log })
  stack.use(keepProviding({ ...parts, bootstrap, log }))

  const source = dhtSource(client.node, { ...chain, bootstrap })
  const row = await firstRow(source)
  assert.ok('record' in row)
  assert.ok(row.peerId.equals(provider.node.peerId))
  assert.equal(row.account, chain.wallet?.account.address)
  assert.equal(row.record.region, 'DE/fsn1')

  await listing.setWanted(false)
  const refused = await firstRow(source)
  assert.ok('skipped' in refused)
  assert.match(refused.skipped, /gives no record: .*does not want to be found/)
})

/** It provides in the background, and a walk may end before that. */
async function firstRow(source: RegistrySource): Promise<RegistryRow> {
  for (;;) for await (const row of source.providers({ signal: AbortSignal.timeout(60_000) })) return row
}
