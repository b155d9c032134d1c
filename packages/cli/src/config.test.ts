import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { loadConfig, parseConfig, required } from './config.ts'
import { configPath, stateFolder } from './paths.ts'

const A = `'0x${'11'.repeat(20)}'`
const CHAIN = `chain: {id: 31337, rpc: ['http://127.0.0.1:8545'], escrow: ${A}, registry: ${A}, token: ${A}}\n`
const PATH = '/home/me/.config/trustedpods/config.yaml'

test('a whole configuration is read, paths from the folder of the file', () => {
  const config = parseConfig(
    `${CHAIN}wallet: {keyFile: keys/wallet}\npolicy: ../policy.yaml\nengine: unix:///run/docker.sock\nregistryFile: /srv/records\nplainHttpRegistries: ['registry.lan:5000']\nipfsApi: http://127.0.0.1:5001\nipfsApiAuthFile: ipfs.auth\n`,
    PATH,
  )
  assert.equal(config.chain?.id, 31_337n)
  assert.deepEqual(config.chain?.rpc, ['http://127.0.0.1:8545'])
  assert.deepEqual(config.wallet, { kind: 'keyFile', path: '/home/me/.config/trustedpods/keys/wallet' })
  assert.deepEqual(config.policy, { kind: 'file', path: '/home/me/.config/policy.yaml' })
  assert.equal(config.engine, 'unix:///run/docker.sock')
  assert.deepEqual(config.registry, { kind: 'file', path: '/srv/records' })
  assert.deepEqual(config.plainHttpRegistries, ['registry.lan:5000'])
  assert.equal(config.ipfsApi, 'http://127.0.0.1:5001')
  assert.match(config.ipfsApiAuthFile ?? '', /^\/.*\/ipfs\.auth$/)
})

test('providers are found in one place: the chain, a file, a URL or the DHT', () => {
  assert.equal(parseConfig('', PATH).registry, undefined)
  assert.deepEqual(parseConfig('registryUrl: https://fleet.example/list', PATH).registry, {
    kind: 'url',
    url: 'https://fleet.example/list',
  })
  assert.deepEqual(parseConfig('registryPeers: [/ip4/192.0.2.1/tcp/4001]', PATH).registry, {
    kind: 'dht',
    bootstrap: ['/ip4/192.0.2.1/tcp/4001'],
  })
})

test('a policy can stand in the file itself', () => {
  assert.deepEqual(parseConfig('policy: {version: 1}', PATH).policy, { kind: 'inline', value: { version: 1 } })
})

test('what is unknown, missing or of another kind is refused with the file and the key', () => {
  const cases: [string, RegExp][] = [
    ['chian: {}', /chian is unknown/],
    [`${CHAIN.replace('}', ', gas: 1}')}`, /chain\.gas is unknown/],
    ['chain: {id: 1}', /chain\.rpc must be a list/],
    [CHAIN.replace('31337', '0'), /chain\.id must be/],
    [CHAIN.replace('31337', '"1"'), /chain\.id must be/],
    [CHAIN.replace('http:', 'ftp:'), /chain\.rpc\[0\] must be/],
    [CHAIN.replace(A, '0x1111111111111111111111111111111111111111'), /chain\.escrow must be an EVM address in quotes/],
    [CHAIN.replace(`token: ${A}`, `token: '0x12'`), /chain\.token must be/],
    ['wallet: {key: abc}', /wallet\.key is unknown/],
    ['wallet: {}', /wallet\.keyFile is missing/],
    ['policy: 5', /policy must be/],
    ['engine: []', /engine must be text/],
    ['registryUrl: ftp://fleet.example', /registryUrl must be an http or https URL/],
    ['registryFile: a\nregistryPeers: [/ip4/192.0.2.1/tcp/1]', /registryFile, registryUrl and registryPeers are/],
    ['ipfsApi: 127.0.0.1:5001', /ipfsApi must be an http or https URL/],
    ['ipfsApi: http://:secret@127.0.0.1:5001', /ipfsApi must be an http or https URL without a password/],
    ['ipfsApi: http://me:secret@127.0.0.1:5001', /ipfsApi must be an http or https URL without a password/],
    ['registryGateways: []', /registryGateways must be a list of at least one URL/],
    ['registryGateways: ["ipfs://x"]', /registryGateways\[0\] must be an http or https URL/],
    ['plainHttpRegistries: registry.lan', /plainHttpRegistries must be a list of host/],
    ['plainHttpRegistries: ["http://a"]', /plainHttpRegistries must be a list of host/],
    ['[]', /must be a mapping/],
    ['a: b: c', /config\.yaml: /],
  ]
  for (const [text, message] of cases) {
    assert.throws(
      () => parseConfig(text, PATH),
      (error) =>
        error instanceof TrustedPodsError &&
        error.code === 'PLATFORM_CONFIG' &&
        message.test(error.message) &&
        error.message.includes(PATH),
      text,
    )
  }
})

test('a file that is not there configures nothing; what a command needs is then named', async () => {
  const config = await loadConfig('/nowhere/config.yaml')
  assert.deepEqual(config, { path: '/nowhere/config.yaml', isMissing: true })
  assert.throws(
    () => required(config, 'chain'),
    /there is no configuration \/nowhere\/config\.yaml; this command needs its chain/,
  )
})

test('the configuration is where the flag, then the environment, then XDG says', () => {
  const env = { HOME: '/home/me' }
  assert.equal(configPath(env), PATH)
  assert.equal(configPath({ ...env, XDG_CONFIG_HOME: '/etc/x' }), '/etc/x/trustedpods/config.yaml')
  assert.equal(configPath({ ...env, XDG_CONFIG_HOME: 'relative' }), PATH)
  assert.equal(configPath({ ...env, TRUSTEDPODS_CONFIG: '/c.yaml' }), '/c.yaml')
  assert.equal(configPath({ ...env, TRUSTEDPODS_CONFIG: '/c.yaml' }, 'flag.yaml'), 'flag.yaml')
  assert.equal(stateFolder(env), '/home/me/.local/state/trustedpods')
  assert.equal(stateFolder({ ...env, XDG_STATE_HOME: '/var/s' }), '/var/s/trustedpods')
})
