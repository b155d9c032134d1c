import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { type Call, type CountingRpc, startCountingRpc } from '../../../../test/support/counting-rpc.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { fromAddress } from '../chain/address.ts'
import { type Chain, connectChain, requireWallet } from '../chain/client.ts'
import { announce } from '../chain/registry.ts'
import { ProviderRecordSchema } from '../gen/trustedpods/v0/registry_pb.ts'
import { chainSource } from './chain-source.ts'
import { signRecord } from './record.ts'
import { memoryRecordCache } from './record-cache.ts'
import type { RegistryRow, RegistrySource } from './source.ts'

const PROVIDERS = 6
let dev: DevChain
let rpc: CountingRpc
let chain: Chain
const keys: PrivateKey[] = []

before(async () => {
  dev = await startDevChain()
  rpc = await startCountingRpc(dev.anvil.rpc)
  chain = await connectChain({ ...dev.config, rpc: [rpc.rpc] })
  for (let index = 0; index < PROVIDERS; index++) {
    keys.push(await generateKeyPair('Ed25519'))
    await announceRegion(index, 'first')
  }
})
after(async () => {
  await rpc[Symbol.asyncDispose]()
  await dev[Symbol.asyncDispose]()
})

test('records of many blocks come with one request; a second reading asks for none, and for one that has changed', async () => {
  const source = chainSource(chain, { cache: memoryRecordCache() })
  rpc.reset()
  const first = await read(source)
  assert.equal(rpc.count('eth_getLogs'), 1)
  assert.deepEqual(regions(first), Array(PROVIDERS).fill('first'))
  rpc.reset()
  const second = await read(source)
  assert.equal(rpc.count('eth_getLogs'), 0)
  assert.deepEqual(second.map(asShown), first.map(asShown))
  await announceRegion(2, 'moved')
  rpc.reset()
  assert.deepEqual(regions(await read(source)), ['first', 'first', 'moved', 'first', 'first', 'first'])
  assert.equal(rpc.count('eth_getLogs'), 1)
  await announceRegion(2, 'first')
})

test('an endpoint that gives out one block at a time is asked for one at a time, and nothing is missing', async () => {
  rpc.refuse(({ method, params }) => {
    if (method !== 'eth_getLogs') return undefined
    const [{ fromBlock, toBlock }] = params as [{ fromBlock: string; toBlock: string }]
    return fromBlock === toBlock ? undefined : 'block range too large'
  })
  const rows = await read(chainSource(chain))
  rpc.refuse(() => undefined)
  assert.deepEqual(regions(rows), Array(PROVIDERS).fill('first'))
})

test('an endpoint that gives out no records is not asked for each of them, and the next reading finds them', async () => {
  const source = chainSource(chain, { cache: memoryRecordCache() })
  rpc.refuse(({ method }: Call) => (method === 'eth_getLogs' ? 'no logs here' : undefined))
  rpc.reset()
  const rows = await read(source)
  rpc.refuse(() => undefined)
  assert.ok(rows.every((row) => 'skipped' in row && row.skipped.startsWith('reading registry records failed')))
  assert.deepEqual(regions(await read(source)), Array(PROVIDERS).fill('first'))
})

test('what is refused for ever is not fetched again; what has expired is told from the cache by the clock', async () => {
  let now = new Date()
  const source = chainSource(chain, { cache: memoryRecordCache(), now: () => now })
  await announce(await dev.connect(7), new TextEncoder().encode('no record'))
  const isJunk = (row: RegistryRow) => 'skipped' in row && row.skipped.includes('no signed envelope')
  assert.equal((await read(source)).filter(isJunk).length, 1)
  rpc.reset()
  assert.equal((await read(source)).filter(isJunk).length, 1)
  assert.equal(rpc.count('eth_getLogs'), 0)
  now = new Date(Date.now() + 3600_000)
  const late = await read(source)
  assert.equal(late.filter((row) => 'skipped' in row && row.skipped.includes('it has expired')).length, PROVIDERS)
  assert.equal(rpc.count('eth_getLogs'), 0)
})

async function announceRegion(index: number, region: string): Promise<void> {
  const provider = await dev.connect(index)
  const key = keys[index]
  assert.ok(key)
  const record = create(ProviderRecordSchema, {
    chainId: BigInt(provider.chainId),
    registry: fromAddress(provider.registry),
    account: fromAddress(requireWallet(provider).account.address),
    peerId: peerIdFromPrivateKey(key).toMultihash().bytes,
    multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001').bytes],
    region,
    sequence: 1n,
    expiresAtMs: BigInt(Date.now() + 600_000),
  })
  await announce(provider, await signRecord(record, key))
}

async function read(source: RegistrySource): Promise<RegistryRow[]> {
  const rows: RegistryRow[] = []
  for await (const row of source.providers()) rows.push(row)
  return rows
}

function regions(rows: readonly RegistryRow[]): string[] {
  return rows.map((row) => ('record' in row ? row.record.region : row.skipped))
}

function asShown(row: RegistryRow): unknown[] {
  if ('skipped' in row) return [row.skipped, row.account]
  return [row.peerId.toString(), row.account, row.multiaddrs.map(String), row.record]
}
