import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSourceAddress } from './source-address.ts'

const PEER = '12D3KooWGzBXxQhXhbHTHzh2DVx7v1nVxJ5nEMVmWkzPjU2Fk8oS'

test('multiaddrs of a peer and origins of https gateways are taken', () => {
  for (const [family, host] of [
    ['ip4', '192.0.2.7'],
    ['ip6', '2001:db8::1'],
    ['dns4', 'blocks.example.org'],
    ['dns', 'blocks.example.org'],
  ])
    assert.deepEqual(parseSourceAddress(`/${family}/${host}/tcp/4001/p2p/${PEER}`), {
      kind: 'peer',
      host,
      port: 4001,
      peerId: PEER,
    })
  assert.deepEqual(parseSourceAddress('https://gateway.example/'), {
    kind: 'gateway',
    origin: 'https://gateway.example',
  })
  assert.deepEqual(parseSourceAddress('https://[2001:db8::1]:8443'), {
    kind: 'gateway',
    origin: 'https://[2001:db8::1]:8443',
  })
})

test('an address that a URL parser would turn into another is seen as what it is', () => {
  assert.deepEqual(parseSourceAddress('https://0x7f.1'), { kind: 'gateway', origin: 'https://127.0.0.1' })
})

test('every other form is refused', () => {
  const bad = [
    '',
    'gateway.example',
    'http://gateway.example',
    'https://user:secret@gateway.example',
    'https://gateway.example/path',
    'https://gateway.example/?x',
    'https://gateway.example/#x',
    'https://',
    'ftp://gateway.example',
    `/ip4/192.0.2.7/tcp/4001`,
    `/ip4/192.0.2.7/tcp/4001/p2p/not-a-peer`,
    `/ip4/192.0.2.7/tcp/0/p2p/${PEER}`,
    `/ip4/192.0.2.7/tcp/65536/p2p/${PEER}`,
    `/ip4/192.0.2.7/udp/4001/p2p/${PEER}`,
    `/ip4/192.0.2.7/tcp/4001/ws/p2p/${PEER}`,
    `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}/p2p-circuit/p2p/${PEER}`,
    `/ip4/2001:db8::1/tcp/4001/p2p/${PEER}`,
    `/ip6/192.0.2.7/tcp/4001/p2p/${PEER}`,
    `/ip4/0x7f.1/tcp/4001/p2p/${PEER}`,
    `/dns4/192.0.2.7/tcp/4001/p2p/${PEER}`,
    `/dnsaddr/blocks.example.org/p2p/${PEER}`,
    `/unix/run%2Fdocker.sock/p2p/${PEER}`,
    `/p2p/${PEER}`,
    `https://${'a'.repeat(600)}.example`,
  ]
  for (const text of bad) assert.equal(parseSourceAddress(text), undefined, text)
})
