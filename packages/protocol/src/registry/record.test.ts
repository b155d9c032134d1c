import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { fromAddress, toAddress } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import { PriceKind } from '../gen/trustedpods/v0/pricing_pb.ts'
import { ProviderRecordSchema } from '../gen/trustedpods/v0/registry_pb.ts'
import { MAX_RECORD_BYTES, MAX_RECORD_LIFETIME_MS, openRecord, signRecord } from './record.ts'

const KEY = await generateKeyPair('Ed25519')
const OTHER_KEY = await generateKeyPair('Ed25519')
const PEER = peerIdFromPrivateKey(KEY)
const OTHER_PEER = peerIdFromPrivateKey(OTHER_KEY)
const REGISTRY = toAddress(new Uint8Array(20).fill(1))
const ACCOUNT = toAddress(new Uint8Array(20).fill(2))
const OTHER = toAddress(new Uint8Array(20).fill(3))
const NOW = new Date('2026-01-01T00:00:00Z')
const OPTIONS = { chainId: 31_337, registry: REGISTRY, account: ACCOUNT, now: NOW }
const TABLE = {
  chainId: 31_337n,
  token: new Uint8Array(20),
  decimals: 6,
  symbol: 'USDC',
  prices: [{ resource: 'cpu', kind: PriceKind.RESERVE, amount: '45000', perQuantity: 1000n, perSeconds: 3600n }],
}

type RecordInit = MessageInitShape<typeof ProviderRecordSchema>

test('a record comes back as it was signed, with its peer, its account and where to dial', async () => {
  const record = makeRecord()
  const opened = await openRecord(await signRecord(record, KEY), OPTIONS)
  assert.deepEqual(opened.record, record)
  assert.ok(opened.peerId.equals(PEER))
  assert.equal(opened.account, ACCOUNT)
  assert.deepEqual(opened.multiaddrs.map(String), ['/ip4/127.0.0.1/tcp/4001'])
})

const DIALABLE = [
  '/ip4/192.0.2.1/tcp/1',
  '/ip6/2001:db8::1/tcp/4001',
  '/dns/example.org/tcp/443/wss',
  '/dns4/example.org/tcp/80/ws',
  '/dns6/example.org/tcp/443/tls/ws',
  '/dns4/example.org/tcp/443/tls/sni/example.org/ws',
  '/ip4/192.0.2.1/udp/4001/webrtc-direct',
  '/ip4/192.0.2.1/udp/4001/webrtc-direct/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g',
  `/ip4/192.0.2.1/tcp/4001/p2p/${PEER}`,
]

for (const address of DIALABLE) {
  test(`${address.slice(0, 60)} can be named`, async () => {
    const { multiaddrs } = await openRecord(await sign({ multiaddrs: [multiaddr(address).bytes] }), OPTIONS)
    assert.deepEqual(multiaddrs.map(String), [multiaddr(address).toString()])
  })
}

const NOT_DIALABLE = [
  '/ip4/192.0.2.1',
  '/ip4/192.0.2.1/tcp/0',
  '/ip4/192.0.2.1/udp/0/webrtc-direct',
  '/ip4/192.0.2.1/udp/4001',
  '/ip4/192.0.2.1/udp/4001/quic-v1',
  '/dnsaddr/example.org',
  '/unix/%2Fvar%2Frun%2Fdocker.sock',
  '/memory/test',
  `/p2p/${PEER}`,
  `/ip4/192.0.2.1/tcp/4001/p2p/${OTHER_PEER}`,
  `/ip4/192.0.2.1/tcp/4001/p2p/${OTHER_PEER}/p2p-circuit/p2p/${PEER}`,
  '/ip4/192.0.2.1/tcp/4001/http',
  '/ip4/192.0.2.1/tcp/4001/ip4/10.0.0.1/tcp/22',
]

for (const address of NOT_DIALABLE) {
  test(`${address.slice(0, 60)} is refused`, async () => {
    await assertRefused(
      /an address/,
      await sign({ multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001').bytes, multiaddr(address).bytes] }),
    )
  })
}

const REFUSED: ReadonlyArray<[why: string, message: RegExp, change: RecordInit]> = [
  ['for another chain', /for chain 1, wanted 31337/, { chainId: 1n }],
  ['for another registry', /for registry/, { registry: fromAddress(OTHER) }],
  ['for a registry of 19 bytes', /20 bytes/, { registry: new Uint8Array(19) }],
  ['that another account announced', /announced it/, { account: fromAddress(OTHER) }],
  ['that names another peer', /which is not the peer in it/, { peerId: OTHER_PEER.toMultihash().bytes }],
  ['that has expired', /has expired/, { expiresAtMs: BigInt(NOW.getTime()) }],
  ['that holds too long', /31 days/, { expiresAtMs: BigInt(NOW.getTime() + MAX_RECORD_LIFETIME_MS + 1) }],
  ['without an address', /0 addresses/, { multiaddrs: [] }],
  [
    'with nine addresses',
    /9 addresses/,
    { multiaddrs: Array.from({ length: 9 }, () => multiaddr('/ip4/127.0.0.1/tcp/1').bytes) },
  ],
  ['with an address that is none', /no multiaddr/, { multiaddrs: [Uint8Array.of(0xff, 0xff, 0xff)] }],
  ['with an address of 513 bytes', /513 bytes/, { multiaddrs: [new Uint8Array(513)] }],
  ['with nine price lists', /9 price lists/, { pricing: Array.from({ length: 9 }, () => ({ ...TABLE, prices: [] })) }],
  ['with a bad price list', /price list that is not well-formed/, { pricing: [{ ...TABLE, decimals: 99 }] }],
  ['with 33 resources', /33 resources/, { capacity: Array.from({ length: 33 }, () => ({ name: 'cpu' })) }],
  ['with nine hints', /9 attestation hints/, { attestations: Array.from({ length: 9 }, () => ({})) }],
  ['with a terminal escape as its region', /region/, { region: '\u001b[2J' }],
  ['with a sandbox name that is too long', /sandbox/, { sandbox: 'x'.repeat(65) }],
]

for (const [why, message, change] of REFUSED) {
  test(`a record ${why} is refused with CHANNEL_REGISTRY_RECORD`, async () => {
    await assertRefused(message, await sign(change))
  })
}

test('a record older than one that was seen is refused', async () => {
  const bytes = await sign({ sequence: 4n })
  await openRecord(bytes, { ...OPTIONS, minSequence: 4n })
  await assert.rejects(openRecord(bytes, { ...OPTIONS, minSequence: 5n }), /sequence is 4, 5 was seen/)
})

test('a record that nobody announced is taken at its own word where that is asked for', async () => {
  const { account } = await openRecord(await sign({ account: fromAddress(OTHER) }), { ...OPTIONS, account: undefined })
  assert.equal(account, OTHER)
})

test('a record signed by another peer, in another domain or of another type is refused', async () => {
  await assertRefused(/which is not the peer in it/, await signRecord(makeRecord(), OTHER_KEY))
  const payload = toBinary(ProviderRecordSchema, makeRecord())
  const type = new TextEncoder().encode('/trusted-pods/provider-record')
  const seal = async (domain: string, codec: Uint8Array) =>
    (await RecordEnvelope.seal({ domain, codec, marshal: () => payload, equals: () => false }, KEY)).marshal()
  await openRecord(await seal('trusted-pods-provider-record', type), OPTIONS)
  await assertRefused(/no signed envelope/, await seal('libp2p-peer-record', type))
  await assertRefused(/payload is of another type/, await seal('trusted-pods-provider-record', Uint8Array.of(3, 1)))
})

test('a record cut off anywhere is refused', async () => {
  const bytes = await sign({})
  for (let length = 0; length < bytes.length; length++) await assertRefused(/./, bytes.slice(0, length))
})

test('a record changed in any byte is refused, or says the same: the frame around what is signed has slack', async () => {
  const bytes = await sign({})
  let refused = 0
  for (let i = 0; i < bytes.length; i++) {
    const changed = bytes.map((byte, j) => (i === j ? byte ^ 1 : byte))
    try {
      assert.deepEqual((await openRecord(changed, OPTIONS)).record, makeRecord())
    } catch (error) {
      assert.ok(error instanceof TrustedPodsError && error.code === 'CHANNEL_REGISTRY_RECORD', String(error))
      refused++
    }
  }
  assert.ok(refused > bytes.length - 8, `${refused} of ${bytes.length}`)
})

test('bytes that are no record are refused', async () => {
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => assertRefused(/./, bytes)))
  await assertRefused(/has 4097 bytes, at most 4096/, new Uint8Array(MAX_RECORD_BYTES + 1))
})

test('a record that the registry would not take is not signed', async () => {
  const prices = Array.from({ length: 60 }, (_, i) => ({ ...TABLE.prices[0], selector: `${i}`.repeat(60) }))
  await assert.rejects(
    sign({ pricing: [{ ...TABLE, prices }] }),
    (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_REGISTRY_RECORD',
  )
})

function makeRecord(change: RecordInit = {}) {
  const base = {
    chainId: 31_337n,
    registry: fromAddress(REGISTRY),
    account: fromAddress(ACCOUNT),
    peerId: PEER.toMultihash().bytes,
    multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001').bytes],
    region: 'DE/fsn1',
    pricing: [TABLE],
    capacity: [{ name: 'cpu', quantity: 4000n }],
    attestations: [{ evidenceType: 'snp', simulated: true }],
    sandbox: 'runc',
    sequence: 1n,
    expiresAtMs: BigInt(NOW.getTime() + 60_000),
  }
  return create(ProviderRecordSchema, { ...base, ...change } as RecordInit)
}

function sign(change: RecordInit): Promise<Uint8Array> {
  return signRecord(makeRecord(change), KEY)
}

async function assertRefused(message: RegExp, bytes: Uint8Array): Promise<void> {
  await assert.rejects(openRecord(bytes, OPTIONS), (error) => {
    assert.ok(error instanceof TrustedPodsError, String(error))
    assert.equal(error.code, 'CHANNEL_REGISTRY_RECORD')
    assert.match(error.message, message)
    return true
  })
}
