import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { ProviderRecordSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/registry_pb.ts'
import { encodeRecordFile, fileSource } from '@trusted-pods/protocol/registry/file-source.ts'
import { signRecord } from '@trusted-pods/protocol/registry/record.ts'
import { startNodePair } from '../../../test/support/nodes.ts'
import { dial } from './dial.ts'
import { relocateBy } from './relocate.ts'

const PLACE = { chainId: 1, registry: `0x${'11'.repeat(20)}` } as const
/** Port 1: nobody listens there. */
const GONE = '/ip4/127.0.0.1/tcp/1'

test('a provider that moved is found by its newest record and dialled there, as the same peer', async () => {
  await using pair = await startNodePair()
  const [here = ''] = pair.provider.getMultiaddrs().map((address) => address.toString().replace(/\/p2p\/.*/, ''))
  const key = await generateKeyPair('Ed25519')
  const relocate = relocateBy(
    sourceOf([
      await record(key, [here], 9n),
      await record(pair.key, [here], 2n),
      await record(pair.key, ['/ip4/127.0.0.1/tcp/2'], 1n),
    ]),
  )
  const old = { peerId: pair.provider.peerId.toString(), multiaddrs: [GONE] }
  await using peer = await dial(pair.publisher, old, { relocate })
  assert.ok(peer.connection.remotePeer.equals(pair.provider.peerId))

  const other = { peerId: peerIdFromPrivateKey(key).toString(), multiaddrs: [GONE] }
  await assert.rejects(dial(pair.publisher, other, { relocate }), isDialFailed)
})

test('a provider that is announced nowhere, or where it was tried already, is as unreachable as before', async () => {
  await using pair = await startNodePair()
  const old = { peerId: pair.provider.peerId.toString(), multiaddrs: [GONE] }
  for (const records of [[], [await record(pair.key, [GONE], 1n)]]) {
    let asked = 0
    const source = relocateBy(sourceOf(records))
    const relocate: typeof source = (provider, options) => {
      asked++
      return source(provider, options)
    }
    await assert.rejects(dial(pair.publisher, old, { relocate }), isDialFailed)
    assert.equal(asked, 1)
  }
})

test('nobody is looked up who answers', async () => {
  await using pair = await startNodePair()
  const here = { peerId: pair.provider.peerId.toString(), multiaddrs: pair.provider.getMultiaddrs().map(String) }
  await using peer = await dial(pair.publisher, here, { relocate: () => assert.fail('it was looked up') })
  assert.equal(peer.connection.status, 'open')
})

function isDialFailed(error: unknown): boolean {
  return error instanceof TrustedPodsError && error.code === 'WIRE_DIAL_FAILED'
}

function sourceOf(records: Uint8Array[]) {
  return fileSource(encodeRecordFile(records), PLACE)
}

function record(key: PrivateKey, multiaddrs: string[], sequence: bigint): Promise<Uint8Array> {
  return signRecord(
    create(ProviderRecordSchema, {
      chainId: 1n,
      registry: new Uint8Array(20).fill(0x11),
      account: new Uint8Array(20).fill(1),
      peerId: peerIdFromPrivateKey(key).toMultihash().bytes,
      multiaddrs: multiaddrs.map((text) => multiaddr(text).bytes),
      sequence,
      expiresAtMs: BigInt(Date.now() + 600_000),
    }),
    key,
  )
}
