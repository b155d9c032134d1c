import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { chainSource } from '@trusted-pods/protocol/registry/chain-source.ts'
import { fileSource } from '@trusted-pods/protocol/registry/file-source.ts'
import type { RegistryRow } from '@trusted-pods/protocol/registry/source.ts'
import { bytesToHex } from 'viem'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../test/support/dev-chain.ts'
import { memoryLog } from '../../../test/support/memory-log.ts'
import { keepAnnouncing } from './announce.ts'
import { type ProviderConfig, parseProviderConfig } from './config.ts'
import { loadProviderKeys } from './keys.ts'
import { openListing } from './listing.ts'
import { loadPrices } from './prices.ts'
import { exportRecord, register, unregister } from './register.ts'

const EXAMPLES = join(import.meta.dirname, '../../../examples/provider')
const WEEK_SECONDS = 7 * 24 * 3600
const PROVIDER = 3
let dev: DevChain
let folder: string
let config: ProviderConfig

before(async () => {
  dev = await startDevChain()
  folder = await mkdtemp(join(tmpdir(), 'trusted-pods-register-'))
  await copyFile(join(EXAMPLES, 'prices.yaml'), join(folder, 'prices.yaml'))
  const key = dev.anvil.account(PROVIDER).getHdKey().privateKey
  assert.ok(key)
  await writeFile(join(folder, 'wallet.key'), bytesToHex(key), { mode: 0o600 })
  config = { ...(await configOf('region: DE/fsn1')), stateDir: join(folder, 'state') }
})
after(async () => {
  await rm(folder, { recursive: true })
  await dev[Symbol.asyncDispose]()
})

test('a provider that has not run is not registered: what it is, is not known', async () => {
  await assertRefused('PLATFORM_STATE', /has not run yet.*tpodserver run registers it/, () => register(config))
})

test('a provider that ran is on the list; unregister takes it off in two steps, and it stays off until register', async () => {
  await runOnce()
  const [listed] = await rows()
  assert.ok(listed && 'record' in listed)
  assert.equal(listed.record.region, 'DE/fsn1')

  assert.match(await unregister(config), /^leaving: .*From \d{4}-\d\d-\d\dT.* tpodserver unregister takes the row off/)
  assert.deepEqual(await skipped(), ['the provider is leaving'])
  assert.match(await unregister(config), /^leaving already/)
  const log = await runOnce()
  assert.deepEqual(await skipped(), ['the provider is leaving'])
  assert.ok(log.entries.some(({ text }) => text === 'not announced: tpodserver unregister was called'))

  await dev.anvil.control.increaseTime({ seconds: WEEK_SECONDS })
  await dev.anvil.control.mine({ blocks: 1 })
  assert.match(await unregister(config), /^off the list, bond returned: transaction 0x/)
  assert.deepEqual(await rows(), [])
  assert.match(await unregister(config), /is not on the list$/)
})

test('register announces the same machine with what is configured now, and takes an exit back', async () => {
  const moved = { ...config, region: 'FI/hel1', capacity: [{ name: 'cpu', selector: 'M4', quantity: 8000n }] }
  assert.match(await register(moved), /^registered: account 0x.*, transaction 0x/)
  await unregister(config)
  await register(moved)
  const [listed] = await rows()
  assert.ok(listed && 'record' in listed)
  assert.equal(listed.record.region, 'FI/hel1')
  assert.deepEqual(
    listed.record.capacity.map(({ name, selector }) => [name, selector]),
    [['cpu', 'M4']],
  )
  assert.equal(listed.record.sandbox, 'runsc')
  assert.match(listed.multiaddrs.map(String).join(), /^\/ip4\/127\.0\.0\.1\/tcp\/[0-9]+/)
  const identity = (await loadProviderKeys(config.stateDir)).identity
  assert.ok(listed.peerId.publicKey?.equals(identity.publicKey))
})

test('records of providers, one after the other, are a list that is read without the chain', async () => {
  const older = await exportRecord(config)
  // The sequence is the time in milliseconds.
  for (const made = Date.now(); Date.now() === made; );
  const file = Buffer.concat([older, await exportRecord({ ...config, region: 'SE' })])
  const regions: string[] = []
  for await (const row of fileSource(file, dev.config).providers())
    regions.push('record' in row ? row.record.region : row.skipped)
  assert.match(regions[0] ?? '', /^a record of peer \S+ that another in the file takes the place of$/)
  assert.deepEqual(regions.slice(1), ['SE'])
  const elsewhere = { ...config, chain: { ...config.chain, chainId: 5 } }
  await assertRefused('CHANNEL_REGISTRY_RECORD', /it is for chain 31337, wanted 5/, () => exportRecord(elsewhere))
})

/** What `tpodserver run` does about its listing. */
async function runOnce() {
  const { identity } = await loadProviderKeys(config.stateDir)
  const node = await createNode({ privateKey: identity, listen: ['/ip4/127.0.0.1/tcp/0'] })
  const log = memoryLog()
  const listing = openListing(config.stateDir)
  const machine = {
    node,
    identity,
    chain: await dev.connect(PROVIDER),
    attester: { evidenceType: 'snp', simulated: true, findPlatformId: async () => undefined },
  } as const
  const offer = {
    pricing: await loadPrices(config),
    capacity: config.capacity.map((one) => create(ResourceSchema, one)),
  }
  const announcing = await keepAnnouncing({
    ...machine,
    ...offer,
    region: config.region,
    sandbox: 'runsc',
    listing,
    log,
  })
  await announcing[Symbol.asyncDispose]()
  await node.stop()
  return log
}

async function configOf(extra: string): Promise<ProviderConfig> {
  const text = (await readFile(join(EXAMPLES, 'tpodserver.yaml'), 'utf8')).replace(/^region: .*$/m, extra)
  const path = join(folder, 'tpodserver.yaml')
  const parsed = parseProviderConfig(text, path)
  return { ...parsed, chain: dev.config }
}

async function rows(): Promise<RegistryRow[]> {
  const all: RegistryRow[] = []
  for await (const row of chainSource(await dev.connect(0)).providers()) all.push(row)
  return all
}

async function skipped(): Promise<string[]> {
  return (await rows()).map((row) => ('skipped' in row ? row.skipped : 'listed'))
}
