import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '@trusted-pods/platform/libp2p-node.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { startNodePair } from '../../../test/support/nodes.ts'
import { dial, peerAddresses } from './dial.ts'

const PEER = '12D3KooWGRUVBgbSGwkTXpAX3kVbvY2Mh5UcWkT2cLS2gDcoGJXb'
const OTHER = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo'

test('addresses get the peer id; those of another peer and broken ones are left out', () => {
  const multiaddrs = [
    '/ip4/127.0.0.1/tcp/1',
    `/ip4/127.0.0.1/tcp/2/p2p/${PEER}`,
    `/ip4/127.0.0.1/tcp/3/p2p/${OTHER}`,
    'nonsense',
    '',
  ]
  assert.deepEqual(peerAddresses({ peerId: PEER, multiaddrs }).map(String), [
    `/ip4/127.0.0.1/tcp/1/p2p/${PEER}`,
    `/ip4/127.0.0.1/tcp/2/p2p/${PEER}`,
  ])
})

test('no usable address is refused with WIRE_DIAL_FAILED', () => {
  for (const multiaddrs of [[], [''], ['nonsense'], [`/p2p/${PEER}`], [`/ip4/127.0.0.1/tcp/3/p2p/${OTHER}`]]) {
    assert.throws(() => peerAddresses({ peerId: PEER, multiaddrs }), isDialFailure)
  }
})

test('a live peer is reached under its own id and under no other', async () => {
  await using pair = await startNodePair()
  const multiaddrs = pair.provider.getMultiaddrs().map((address) => String(address).replace(/\/p2p\/.*/, ''))
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  try {
    await assert.rejects(dial(node, { peerId: OTHER, multiaddrs }), isDialFailure)
    await using peer = await dial(node, { peerId: pair.provider.peerId.toString(), multiaddrs })
    assert.equal(peer.connection.remotePeer.toString(), pair.provider.peerId.toString())
    assert.equal(peer.self.toString(), node.peerId.toString())
  } finally {
    await node.stop()
  }
})

test('who dials at the same time gets a connection of its own: closing one leaves the others', async () => {
  await using pair = await startNodePair()
  const multiaddrs = pair.provider.getMultiaddrs().map(String)
  const address = { peerId: pair.provider.peerId.toString(), multiaddrs }
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  try {
    const [first, ...others] = await Promise.all([1, 2, 3].map(() => dial(node, address)))
    assert.equal(new Set([first, ...others].map((peer) => peer?.connection.id)).size, 3)
    await first?.[Symbol.asyncDispose]()
    for (const { connection } of others) assert.equal(connection.status, 'open')
  } finally {
    await node.stop()
  }
})

test("the caller's abort is not turned into a dial failure", async () => {
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  const ending = new AbortController()
  ending.abort(new Error('the user wants an end'))
  try {
    const attempt = dial(node, { peerId: PEER, multiaddrs: ['/ip4/127.0.0.1/tcp/1'] }, { signal: ending.signal })
    await assert.rejects(attempt, /the user wants an end/)
  } finally {
    await node.stop()
  }
})

function isDialFailure(error: unknown): boolean {
  return error instanceof TrustedPodsError && error.code === 'WIRE_DIAL_FAILED'
}
