import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { assertRefused } from '../../../../test/support/assert-refused.ts'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../../test/support/faulty-rpc.ts'
import { concatBytes, sha256, toHex } from '../bytes.ts'
import { fromAddress } from '../chain/address.ts'
import { type Chain, connectChain } from '../chain/client.ts'
import { announce, exitRegistry, readEntry, removeProvider } from '../chain/registry.ts'
import { ProviderRecordSchema } from '../gen/trustedpods/v0/registry_pb.ts'
import { chainSource } from './chain-source.ts'
import { encodeRecordFile, fileSource } from './file-source.ts'
import { signRecord } from './record.ts'
import type { RegistryRow, RegistrySource } from './source.ts'

let dev: DevChain
before(async () => {
  dev = await startDevChain()
})
after(() => dev[Symbol.asyncDispose]())

test('what providers announce is found, and a bad row breaks nothing', async () => {
  const chains = await Promise.all([0, 1, 2, 3].map((index) => dev.connect(index)))
  const [good, junk, foreign, leaving] = chains as [Chain, Chain, Chain, Chain]
  await announce(good, await recordOf(good))
  await announce(junk, new TextEncoder().encode('not a record'))
  await announce(foreign, await recordOf(good))
  await announce(leaving, await recordOf(leaving))
  await exitRegistry(leaving)

  const rows = await read(chainSource(good))
  assert.equal(rows.length, 4)
  assert.deepEqual(
    rows.map((row) => ('record' in row ? 'record' : row.skipped.slice(0, 50))),
    [
      'record',
      'the record is no signed envelope with a provider r',
      `the record is refused: it names account ${accountOf(good)}`.slice(0, 50),
      'the provider is leaving',
    ],
  )
  const [found] = rows
  assert.ok(found && 'record' in found)
  assert.equal(found.account, accountOf(good))
  assert.deepEqual(found.multiaddrs.map(String), ['/ip4/127.0.0.1/tcp/4001'])
})

test('an update replaces the record, also twice in one block', async () => {
  const chain = await dev.connect(4)
  await announce(chain, await recordOf(chain, { region: 'first' }))
  await dev.anvil.control.setAutomine(false)
  const second = announce(chain, await recordOf(chain, { region: 'second' }))
  await untilPending(1)
  const third = announce(chain, await recordOf(chain, { region: 'third' }))
  await untilPending(2)
  await dev.anvil.control.setAutomine(true)
  await dev.anvil.control.mine({ blocks: 1 })
  const mined = await Promise.all([second, third])
  assert.equal(mined[0].blockNumber, mined[1].blockNumber)
  assert.equal(await regionOf(chain), 'third')
  assert.equal((await readEntry(chain, accountOf(chain)))?.seq, 3)
})

test('the digest on chain is the SHA-256 of the record', async () => {
  const chain = await dev.connect(5)
  const record = await recordOf(chain)
  const { blockNumber } = await announce(chain, record)
  const entry = await readEntry(chain, accountOf(chain))
  assert.equal(entry?.digest, `0x${toHex(await sha256(record))}`)
  assert.equal(entry?.updatedBlock, blockNumber)
})

test('records expire by the clock of the reader', async () => {
  const chain = await dev.connect(0)
  const inAnHour = new Date(Date.now() + 3600_000)
  const rows = await read(chainSource(chain, { now: () => inAnHour }))
  const own = rows.find((row) => row.account === accountOf(chain))
  assert.ok(own && 'skipped' in own)
  assert.match(own.skipped, /has expired/)
})

test('after seven days the row can be taken off the list', async () => {
  const chain = await dev.connect(6)
  await announce(chain, await recordOf(chain))
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /ExitPending\(0\)/, () => removeProvider(chain))
  await exitRegistry(chain)
  await assertRefused('CHANNEL_TRANSACTION_FAILED', /ExitPending/, () => exitRegistry(chain))
  await dev.anvil.control.increaseTime({ seconds: 7 * 86_400 })
  await removeProvider(chain)
  assert.equal(await readEntry(chain, accountOf(chain)), undefined)
  assert.equal(
    (await read(chainSource(chain))).some((row) => row.account === accountOf(chain)),
    false,
  )
})

test('a record longer than the registry takes is refused with CHANNEL_REGISTRY_RECORD', async () => {
  const chain = await dev.connect(7)
  await assertRefused('CHANNEL_REGISTRY_RECORD', /BadRecordLength\(4097\)/, () => announce(chain, new Uint8Array(4097)))
  await assertRefused('CHANNEL_REGISTRY_RECORD', /BadRecordLength\(0\)/, () => announce(chain, new Uint8Array()))
})

test('more rows than one page holds are all read', async () => {
  await using many = await startDevChain({ args: ['--accounts', '10'] })
  const chain = await many.connect(0)
  const source = chainSource(chain, { pageRows: 2n })
  assert.deepEqual(await read(source), [])
  for (const index of [0, 1, 2, 3, 4]) {
    const other = await many.connect(index)
    await announce(other, await recordOf(other))
    assert.equal((await read(source)).filter((row) => 'record' in row).length, index + 1)
  }
})

test('a registry that cannot be read is CHANNEL_RPC_UNAVAILABLE, never an empty list', async () => {
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const chain = await connectChain({ ...dev.config, rpc: [faulty.rpc] })
  for (const method of [/^eth_blockNumber$/, /^eth_call$/]) {
    faulty.fail('status-500', { method })
    await assertRefused('CHANNEL_RPC_UNAVAILABLE', /./, () => read(chainSource(chain)))
  }
})

test('records that cannot be read are skipped rows, and are there again when they can', async () => {
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const chain = await connectChain({ ...dev.config, rpc: [faulty.rpc] })
  const before = await read(chainSource(chain))
  faulty.fail('status-500', { method: /^eth_getLogs$/ })
  const unread = await read(chainSource(chain))
  assert.equal(unread.length, before.length)
  assert.ok(unread.every((row) => 'skipped' in row))
  assert.ok(unread.some((row) => 'skipped' in row && row.skipped.startsWith('reading registry records failed')))
  faulty.fail('pass')
  assert.deepEqual(await read(chainSource(chain)), before)
})

test('reading ends with the signal', async () => {
  const chain = await dev.connect(0)
  const signal = AbortSignal.abort()
  await assert.rejects(read(chainSource(chain), signal), (error) => error === signal.reason)
  await assert.rejects(
    read(fileSource(encodeRecordFile([await recordOf(chain)]), dev.config), signal),
    (error) => error === signal.reason,
  )
})

test('a file of records is read like the registry; its bad rows are skipped', async () => {
  const chain = await dev.connect(0)
  const [one, two] = [await recordOf(chain, { region: 'one' }), await recordOf(chain, { region: 'two' })]
  const expired = await recordOf(chain, { expiresAtMs: 1n })
  const rows = await read(fileSource(encodeRecordFile([one, new Uint8Array(3), expired, two]), dev.config))
  assert.deepEqual(
    rows.map((row) => ('record' in row ? row.record.region : 'skipped')),
    ['one', 'skipped', 'skipped', 'two'],
  )
  assert.deepEqual(await read(fileSource(new Uint8Array(), dev.config)), [])
})

test('a file cut off anywhere gives the whole records before the cut and one skipped row', async () => {
  const chain = await dev.connect(0)
  const records = [await recordOf(chain), await recordOf(chain)]
  const file = encodeRecordFile(records)
  const first = encodeRecordFile(records.slice(0, 1)).length
  for (let length = 1; length < file.length; length++) {
    const rows = await read(fileSource(file.slice(0, length), dev.config))
    const whole = length >= first ? 1 : 0
    assert.equal(rows.filter((row) => 'record' in row).length, whole)
    assert.equal(rows.filter((row) => 'skipped' in row).length, length === first ? 0 : 1)
  }
})

test('a length that no record has ends the file', async () => {
  const chain = await dev.connect(0)
  const record = encodeRecordFile([await recordOf(chain)])
  for (const prefix of [[0xff, 0xff, 0x7f], [0x81, 0x20], Array(12).fill(0xff)]) {
    const rows = await read(fileSource(concatBytes(record, Uint8Array.from(prefix), record), dev.config))
    assert.deepEqual(
      rows.map((row) => ('record' in row ? 'record' : row.skipped)),
      ['record', `the file is not a list of records from byte ${record.length} on`],
    )
  }
})

async function untilPending(count: number): Promise<void> {
  while ((await dev.anvil.control.getTxpoolStatus()).pending < count)
    await new Promise((resolve) => setTimeout(resolve, 5))
}

async function recordOf(chain: Chain, change: { region?: string; expiresAtMs?: bigint } = {}): Promise<Uint8Array> {
  const key = await generateKeyPair('Ed25519')
  const record = create(ProviderRecordSchema, {
    chainId: BigInt(chain.chainId),
    registry: fromAddress(chain.registry),
    account: fromAddress(accountOf(chain)),
    peerId: peerIdFromPrivateKey(key).toMultihash().bytes,
    multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001').bytes],
    sequence: 1n,
    expiresAtMs: BigInt(Date.now() + 600_000),
    ...change,
  })
  return await signRecord(record, key)
}

function accountOf(chain: Chain) {
  assert.ok(chain.wallet)
  return chain.wallet.account.address
}

async function regionOf(chain: Chain): Promise<string | undefined> {
  for (const row of await read(chainSource(chain)))
    if ('record' in row && row.account === accountOf(chain)) return row.record.region
  return undefined
}

async function read(source: RegistrySource, signal?: AbortSignal): Promise<RegistryRow[]> {
  const rows: RegistryRow[] = []
  for await (const row of source.providers({ signal })) rows.push(row)
  return rows
}
