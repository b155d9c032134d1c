import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import fc from 'fast-check'
import { formatSubnet, freeSubnet, overlaps, parseRoutes, parseSubnet, type Subnet } from './subnet.ts'

function subnet(text: string): Subnet {
  const parsed = parseSubnet(text)
  assert.ok(parsed, text)
  return parsed
}

const anySubnet = fc
  .record({ address: fc.nat(0xffffffff), prefix: fc.integer({ min: 0, max: 32 }) })
  .map(({ address, prefix }) => ({ base: Math.floor(address / 2 ** (32 - prefix)) * 2 ** (32 - prefix), prefix }))

test('a subnet is read as it is written', () => {
  fc.assert(fc.property(anySubnet, (value) => assert.deepEqual(parseSubnet(formatSubnet(value)), value)))
  assert.equal(formatSubnet(subnet('10.213.255.255/28')), '10.213.255.240/28')
})

test('what is no IPv4 subnet is none, at every cut too', () => {
  for (const text of [
    '',
    '10.0.0.0',
    '10.0.0/8',
    '256.0.0.0/8',
    '10.0.0.0/33',
    'fd00::/8',
    '10.0.0.0/8 ',
    '1.2.3.4/',
  ]) {
    assert.equal(parseSubnet(text), undefined, text)
  }
  const text = '10.0.0.0/8'
  for (let length = 0; length < text.length; length++) assert.equal(parseSubnet(text.slice(0, length)), undefined)
})

test('the subnet that is chosen lies in the network and overlaps nothing that is taken', () => {
  const network = subnet('10.213.0.0/24')
  fc.assert(
    fc.property(
      fc.array(
        anySubnet.filter(({ prefix }) => prefix > 24),
        { maxLength: 8 },
      ),
      fc.nat(),
      (taken, start) => {
        const chosen = freeSubnet(network, { prefix: 28, start, taken, freed: [] })
        assert.ok(overlaps(chosen, network) && chosen.prefix === 28)
        assert.ok(!taken.some((other) => overlaps(chosen, other)))
      },
    ),
  )
})

test('a network that is full is PROVISION_RUNTIME, after every subnet was given once', () => {
  const network = subnet('10.213.0.0/26')
  const taken: Subnet[] = []
  for (let i = 0; i < 4; i++) taken.push(freeSubnet(network, { prefix: 28, start: 3, taken, freed: [] }))
  assert.deepEqual(taken.map(formatSubnet), ['10.213.0.48/28', '10.213.0.0/28', '10.213.0.16/28', '10.213.0.32/28'])
  assert.throws(
    () => freeSubnet(network, { prefix: 28, start: 0, taken, freed: taken }),
    (error) => error instanceof TrustedPodsError && error.code === 'PROVISION_RUNTIME',
  )
})

test('a subnet that was freed is given again only after all others, the longest free first', () => {
  const network = subnet('10.213.0.0/26')
  const freed = ['10.213.0.32/28', '10.214.0.0/28', '10.213.0.0/28', '10.213.0.48/28'].map(subnet)
  const taken: Subnet[] = []
  for (let i = 0; i < 4; i++) taken.push(freeSubnet(network, { prefix: 28, start: 0, taken, freed }))
  assert.deepEqual(taken.map(formatSubnet), ['10.213.0.16/28', '10.213.0.32/28', '10.213.0.0/28', '10.213.0.48/28'])
})

test('routes of the kernel are read but for the default one', () => {
  const table = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tp-1\t1000D50A\t00000000\t0001\t0\t0\t0\tF0FFFFFF\t0\t0\t0
bad line
`
  assert.deepEqual(parseRoutes(table).map(formatSubnet), ['192.0.2.0/24', '10.213.0.16/28'])
  assert.deepEqual(parseRoutes(''), [])
})
