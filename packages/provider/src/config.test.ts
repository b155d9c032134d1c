import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseProviderConfig } from './config.ts'

const example = readFileSync(new URL('../../../examples/provider/tpodserver.yaml', import.meta.url), 'utf8')
const parse = (text: string) => parseProviderConfig(text, '/etc/tpodserver.yaml')

test('the example configuration is read, paths from its folder, quantities in their units', () => {
  const config = parse(example)
  assert.equal(config.stateDir, '/var/lib/tpodserver')
  assert.equal(config.pricesFile, '/etc/prices.yaml')
  assert.deepEqual(config.capacity.slice(0, 2), [
    { name: 'cpu', selector: '', quantity: 14_000n },
    { name: 'memory', selector: '', quantity: 56n * 2n ** 30n },
  ])
  assert.equal(config.attester, 'configfs-tsm')
})

test('every attester that there is can be named', () => {
  for (const kind of ['configfs-tsm', 'simulated', 'simulated-tdx']) {
    assert.equal(parse(example.replace('attester: configfs-tsm', `attester: ${kind}`)).attester, kind)
  }
})

test('a mirror takes the place of the service that it is named for', () => {
  const { endorsements } = parse(`${example}\nendorsements: {kds: 'http://10.0.0.2:8080/'}`)
  assert.equal(endorsements.kds, 'http://10.0.0.2:8080')
  assert.equal(endorsements.pcs, parse(example).endorsements.pcs)
})

test('the places of images are the publisher alone unless the operator says more', () => {
  assert.deepEqual(parse(example).images, { gateways: [], allowPrivateSources: false })
  const images = "images: {gateways: ['http://127.0.0.1:8080'], allowPrivateSources: true}"
  assert.deepEqual(parse(`${example}\n${images}`).images, {
    gateways: ['http://127.0.0.1:8080'],
    allowPrivateSources: true,
  })
})

test('GPUs are named one by one, with their model and how the engine hands them over', () => {
  const { gpus } = parse(`${example}
gpus:
  left: {model: H100, nvidia: GPU-8f2c}
  right: {model: H100, cdi: nvidia.com/gpu=1}
  old: {nodes: [/dev/dri/renderD128], control: [/dev/kfd]}`)
  assert.deepEqual(gpus, [
    { id: 'left', model: 'H100', access: { kind: 'nvidia', id: 'GPU-8f2c' } },
    { id: 'right', model: 'H100', access: { kind: 'cdi', name: 'nvidia.com/gpu=1' } },
    { id: 'old', model: '', access: { kind: 'nodes', paths: ['/dev/dri/renderD128'], control: ['/dev/kfd'] } },
  ])
  assert.deepEqual(parse(example).gpus, [])
})

const MISTAKES: [name: string, change: (text: string) => string, message: RegExp][] = [
  ['an unknown key', (text) => `${text}\nlisten2: []`, /listen2 is unknown/],
  ['an unknown term', (text) => `${text}\nterms: {quoteMinutes: 5}`, /terms\.quoteMinutes is unknown/],
  ['a missing attester', (text) => text.replace(/^attester:.*$/m, ''), /attester is missing/],
  [
    'an attester of another name',
    (text) => text.replace('attester: configfs-tsm', 'attester: none'),
    /attester must be configfs-tsm/,
  ],
  [
    'a quantity that is none of a model',
    (text) => text.replace('cpu: 14', 'cpu: {EPYC-9654: lots}'),
    /capacity\.cpu\.EPYC-9654 is no quantity/,
  ],
  ['a quantity that is none', (text) => text.replace('cpu: 14', 'cpu: lots'), /capacity\.cpu is no quantity/],
  [
    'an address that is none',
    (text) => text.replace(/escrow: '0x[^']*'/, "escrow: '0x12'"),
    /chain\.escrow must be an EVM address/,
  ],
  [
    'a term out of bounds',
    (text) => `${text}\nterms: {minUnlockDelaySeconds: 0}`,
    /minUnlockDelaySeconds must be a whole number from 900/,
  ],
  ['a GPU that says not how', (text) => `${text}\ngpus: {a: {model: H100}}`, /gpus\.a\.nvidia, cdi or nodes says how/],
  [
    'a GPU in two ways',
    (text) => `${text}\ngpus: {a: {nvidia: 0, cdi: 'nvidia.com/gpu=0'}}`,
    /gpus\.a\.nvidia, cdi or nodes says how/,
  ],
  ['a node elsewhere', (text) => `${text}\ngpus: {a: {nodes: [/etc/passwd]}}`, /gpus\.a\.nodes must be paths below/],
  ['a way out of /dev', (text) => `${text}\ngpus: {a: {nodes: [/dev/../etc/shadow]}}`, /nodes must be paths below/],
  ['a CDI name that is none', (text) => `${text}\ngpus: {a: {cdi: gpu0}}`, /gpus\.a\.cdi must be vendor/],
  [
    'one device under two names',
    (text) => `${text}\ngpus: {a: {nodes: [/dev/x, /dev/y]}, b: {nodes: [/dev/y]}}`,
    /gpus\.b is the same device as a/,
  ],
  ['all GPUs as one', (text) => `${text}\ngpus: {a: {nvidia: all}}`, /gpus\.a\.nvidia must be an index or a UUID/],
  [
    'all GPUs by CDI',
    (text) => `${text}\ngpus: {a: {cdi: 'nvidia.com/gpu=all'}}`,
    /gpus\.a\.cdi must be .* one device/,
  ],
  [
    'a device that is shared as the control of another',
    (text) => `${text}\ngpus: {a: {nodes: [/dev/x]}, b: {nodes: [/dev/y], control: [/dev/c, /dev/x]}}`,
    /gpus\.b gives \/dev\/x to others, which is the device a/,
  ],
  ['ports from high to low', (text) => `${text}\nports: {from: 3000, to: 2000}`, /ports must go from a lower/],
  ['a URL that is none', (text) => `${text}\nendorsements: {kds: kds.example}`, /endorsements\.kds must be an http/],
  ['an unknown maker', (text) => `${text}\nendorsements: {arm: 'https://a.example'}`, /endorsements\.arm is unknown/],
  [
    'a gateway with a path',
    (text) => `${text}\nimages: {gateways: ['https://a.example/ipfs']}`,
    /images\.gateways must be/,
  ],
  ['a flag that is none', (text) => `${text}\nimages: {allowPrivateSources: 'yes'}`, /must be true or false/],
  ['an unknown place', (text) => `${text}\nimages: {gateway: x}`, /images\.gateway is unknown/],
  ['an unknown firewall', (text) => `${text}\nfirewall: maybe`, /firewall must be required/],
  [
    'GPUs, which are not given out yet',
    (text) => text.replace('cpu: 14', 'cpu: 14, nvidia.com/gpu: 1'),
    /nvidia\.com\/gpu are offered one by one: name each under gpus/,
  ],
  ['no YAML', () => 'a: [', /tpodserver\.yaml: /],
  ['an alias', (text) => text.replace('cpu: 14', 'cpu: &x 14, storage: *x'), /alias|duplicat|unique/i],
]

test('capacity may be said by model or class, as prices are', () => {
  const { capacity } = parse(example.replace('cpu: 14', 'cpu: {EPYC-9654: 12, any: 2000m}'))
  assert.deepEqual(capacity.slice(0, 2), [
    { name: 'cpu', selector: 'EPYC-9654', quantity: 12_000n },
    { name: 'cpu', selector: '', quantity: 2_000n },
  ])
})

for (const [name, change, message] of MISTAKES) {
  test(`${name} is refused with PLATFORM_CONFIG`, () => {
    assert.throws(() => parse(change(example)), { code: 'PLATFORM_CONFIG', message })
  })
}
