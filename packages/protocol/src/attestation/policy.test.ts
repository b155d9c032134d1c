import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import { TrustedPodsError } from '../errors.ts'
import { parsePolicy, STRICT_POLICY } from './policy.ts'

function readExample(name: string): Record<string, unknown> {
  const path = resolve(import.meta.dirname, '../../../../examples', name)
  return parse(readFileSync(path, 'utf8')) as Record<string, unknown>
}

const strict = readExample('policy-strict.yml')

/** A copy of the strict example with the value at a dotted path replaced, or removed where it is undefined. */
function withValue(path: string, value: unknown): unknown {
  const copy = structuredClone(strict)
  const keys = path.split('.')
  const last = keys.pop() ?? ''
  let target: Record<string, unknown> = copy
  for (const key of keys) target = target[key] as Record<string, unknown>
  if (value === undefined) delete target[last]
  else target[last] = value
  return copy
}

function refusedAt(value: unknown, path: string): void {
  assert.throws(
    () => parsePolicy(value),
    (error) =>
      error instanceof TrustedPodsError &&
      error.code === 'ATTEST_POLICY_INVALID' &&
      error.message.startsWith(`${path}: expected `),
    `${path} was not refused`,
  )
}

test('the strict example is STRICT_POLICY', () => {
  assert.deepEqual(parsePolicy(strict), STRICT_POLICY)
})

test('the simulated example allows one root, one warning and no real processor', () => {
  const policy = parsePolicy(readExample('policy-simulated.yml'))
  assert.deepEqual(policy.allow, ['trust.simulated'])
  assert.equal(policy.simulatedRoots.length, 1)
  assert.deepEqual(policy.snp.products, {})
})

test('every key is needed', () => {
  for (const key of Object.keys(strict)) refusedAt(withValue(key, undefined), `policy.${key}`)
  const nested = ['freshness.revocation', 'platform.pinning', 'snp.endorsement', 'snp.policy.debug', 'snp.policy.vmpl']
  for (const path of nested) refusedAt(withValue(path, undefined), path)
  for (const [key, value] of Object.entries(strict.tdx as object)) {
    refusedAt(withValue(`tdx.${key}`, undefined), `tdx.${key}`)
    if (typeof value !== 'object') continue
    for (const inner of Object.keys(value))
      refusedAt(withValue(`tdx.${key}.${inner}`, undefined), `tdx.${key}.${inner}`)
  }
  for (const path of [
    'snp.products.Turin.minTcb',
    'snp.products.Turin.minTcb.fmc',
    'snp.products.Milan.minMitigation',
  ]) {
    refusedAt(withValue(path, undefined), path)
  }
})

test('unknown keys are refused wherever they are', () => {
  refusedAt(withValue('sgx', {}), 'policy.sgx')
  for (const path of [
    'freshness.grace',
    'snp.policy.debugging',
    'snp.products.Rome',
    'tdx.advisories.ignore',
    'tdx.attributes.debugging',
    'snp.products.Genoa.minTcb.fmc',
  ]) {
    refusedAt(withValue(path, 1), path)
  }
})

const H48 = 'ab'.repeat(48)
const TDX_REFERENCE = { mrtd: [H48], rtmr: { 0: [H48], 1: [H48], 2: [H48], 3: [H48] }, mrConfigId: [H48] }

const WRONG: [string, unknown, string?][] = [
  ['version', 2],
  ['require', 'none'],
  ['allow', 'trust.simulated'],
  ['allow', ['trust.simulated'], 'allow'],
  ['evidence', ['sgx'], 'evidence[0]'],
  ['simulatedRoots', ['abc'], 'simulatedRoots[0]'],
  ['simulatedRoots', [12], 'simulatedRoots[0]'],
  ['freshness.nonceSeconds', 0],
  ['freshness.nonceSeconds', 601],
  ['freshness.nonceSeconds', '60'],
  ['freshness.verdictMinutes', 1.5],
  ['platform', { pinning: 'list' }, 'platform.ids'],
  ['platform', { pinning: 'none', ids: [] }, 'platform.ids'],
  ['platform', { pinning: 'list', ids: ['00'] }, 'platform.ids[0]'],
  ['measurements', [{ name: 'x' }], 'measurements[0]'],
  ['measurements', [{ name: 'x', tdx: { ...TDX_REFERENCE, mrtd: ['00'] } }], 'measurements[0].tdx.mrtd[0]'],
  [
    'measurements',
    [{ name: 'x', tdx: { ...TDX_REFERENCE, rtmr: { 0: [], 1: [], 2: [] } } }],
    'measurements[0].tdx.rtmr.3',
  ],
  ['measurements', [{ name: 'x', tdx: { ...TDX_REFERENCE, mrConfigId: undefined } }], 'measurements[0].tdx.mrConfigId'],
  ['measurements', [{ name: '', snp: { launch: [], hostData: [] } }], 'measurements[0].name'],
  ['measurements', [{ name: 'x', snp: { launch: ['00'], hostData: [] } }], 'measurements[0].snp.launch[0]'],
  ['measurements', [{ name: 'x', snp: { launch: [] } }], 'measurements[0].snp.hostData'],
  ['snp', null],
  ['snp.policy.debug', true],
  ['snp.policy.smt', 'yes'],
  ['snp.policy.singleSocket', false],
  ['snp.policy.vmpl', [4], 'snp.policy.vmpl[0]'],
  ['snp.platformInfo.aliasCheckComplete', false],
  ['snp.products.Turin.minTcb.snp', 256],
  ['snp.products.Turin.cap', 'none'],
  ['snp.endorsement', ['vcek', 'self'], 'snp.endorsement[1]'],
  ['snp.idKeyDigests', 'all'],
  ['tdx', null],
  ['tdx.tcb.swHardeningNeeded', 'ok'],
  ['tdx.tcb.outOfDateGraceDays', 366],
  ['tdx.advisories.allow', ['SA-1'], 'tdx.advisories.allow[0]'],
  ['tdx.minTcbEvaluationDataNumber', -1],
  ['tdx.collateralGraceHours', 169],
  ['tdx.attributes.debug', true],
  ['tdx.attributes.septVeDisable', false],
  ['tdx.attributes.migratable', 'any'],
  ['tdx.attributes.perfmon', 'none'],
  ['tdx.xfam.mask', 'ff'],
  ['tdx.xfam.value', '0000000000000004'],
  ['tdx.serviceTd', 'allow'],
  ['tdx.serviceTd', ['00'], 'tdx.serviceTd[0]'],
]

for (const [path, value, at] of WRONG) {
  test(`${path}: ${JSON.stringify(value)} is refused`, () => refusedAt(withValue(path, value), at ?? path))
}

test('only codes that can be warnings may be allowed', () => {
  const tolerant = { ...strict, require: 'warning' }
  assert.deepEqual(parsePolicy({ ...tolerant, allow: ['tcb.provisional'] }).allow, ['tcb.provisional'])
  for (const code of ['policy.debug', 'signature.invalid', 'no.such-code', 'toString', 7]) {
    refusedAt({ ...tolerant, allow: [code] }, 'allow[0]')
  }
})

test('Milan is capped unless the policy says otherwise, and the launch minimum is the minimum', () => {
  const floor = { bl: 4, tee: 0, snp: 24, ucode: 219 }
  const policy = parsePolicy(withValue('snp.products', { Milan: { minTcb: floor, minMitigation: 0 } }))
  assert.equal(policy.snp.products.Milan?.cap, 'warning')
  assert.deepEqual(policy.snp.products.Milan?.minLaunchTcb, { fmc: 0, ...floor })
  assert.equal(policy.snp.products.Turin, undefined)
})

function parseTdxMeasurement(changes: object) {
  const [entry] = parsePolicy(
    withValue('measurements', [{ name: 'x', tdx: { ...TDX_REFERENCE, ...changes } }]),
  ).measurements
  return entry?.tdx
}

test('an RTMR is known by values, by the digests of its events, or by what they say, and by one of them only', () => {
  const rtmr = {
    0: [H48],
    1: { digests: [H48] },
    2: [],
    3: { events: { 'compose-hash': ['AB'], 'instance-id': 'any', none: [] } },
  }
  const events = new Map<string, 'any' | string[]>([
    ['compose-hash', ['ab']],
    ['instance-id', 'any'],
    ['none', []],
  ])
  assert.deepEqual(parseTdxMeasurement({ rtmr })?.rtmr, [
    { kind: 'values', values: [H48] },
    { kind: 'digests', digests: [H48] },
    { kind: 'values', values: [] },
    { kind: 'events', events },
  ])
  for (const wrong of [
    {},
    { digests: [], events: {} },
    { replay: true },
    'any',
    { events: ['x'] },
    { events: { a: 'all' } },
    { events: { 'a:b': 'any' } },
  ]) {
    assert.throws(() => parseTdxMeasurement({ rtmr: { ...TDX_REFERENCE.rtmr, 3: wrong } }), {
      code: 'ATTEST_POLICY_INVALID',
    })
  }
})

test('the owner must be zero unless the reference values name one', () => {
  assert.deepEqual(parseTdxMeasurement({})?.mrOwner, ['00'.repeat(48)])
  assert.deepEqual(parseTdxMeasurement({ mrOwner: [H48] })?.mrOwner, [H48])
})

test('a platform id has the length of a chip id or of a platform instance id', () => {
  const ids = ['ab'.repeat(64), 'ab'.repeat(16), 'ab'.repeat(8)]
  assert.deepEqual(parsePolicy(withValue('platform', { pinning: 'list', ids })).platform, { pinning: 'list', ids })
  refusedAt(withValue('platform', { pinning: 'list', ids: ['ab'.repeat(32)] }), 'platform.ids[0]')
})

test('hex may be written in capitals', () => {
  assert.deepEqual(parsePolicy(withValue('simulatedRoots', ['AB'.repeat(32)])).simulatedRoots, ['ab'.repeat(32)])
})

test('any document is a policy or refused with ATTEST_POLICY_INVALID', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      assert.throws(() => parsePolicy(value), { code: 'ATTEST_POLICY_INVALID' })
      assert.throws(() => parsePolicy({ ...strict, snp: value }), { code: 'ATTEST_POLICY_INVALID' })
      assert.throws(() => parsePolicy({ ...strict, tdx: value }), { code: 'ATTEST_POLICY_INVALID' })
      assert.throws(() => parsePolicy({ ...strict, measurements: [value] }), { code: 'ATTEST_POLICY_INVALID' })
    }),
  )
})
