/** Intel's algorithm, case by case. Expected values: Intel QVL, Verifiers/Checks, read as a table. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QeIdentity } from './qe-identity.ts'
import type { QeReport, TdReport } from './quote.ts'
import type { LevelStatus, ModuleIdentity, SvnLevel, TcbInfo, TcbLevel } from './tcb-info.ts'
import { evaluateTcb, isKnownModule } from './tcb-status.ts'

const DATE = new Date('2025-01-01T00:00:00Z')
const zeros = (length: number) => new Uint8Array(length)
const svns = (...values: number[]) => Uint8Array.from({ length: 16 }, (_, i) => values[i] ?? 0)

const platform = (sgx: number, tdx: number[], status: LevelStatus): TcbLevel => ({
  sgx: svns(sgx),
  tdx: svns(...tdx),
  pceSvn: 10,
  status,
  date: DATE,
  advisories: [],
})
const level = (isvSvn: number, status: LevelStatus): SvnLevel => ({ isvSvn, status, date: DATE, advisories: [] })
const signer = { mrSigner: zeros(48), attributes: zeros(8) }
const module = (id: string, ...levels: SvnLevel[]): ModuleIdentity => ({ id, ...signer, levels })

interface Situation {
  /** Of the platform; the PCK has 5, PCE 10. */
  levels?: TcbLevel[]
  modules?: ModuleIdentity[]
  qe?: SvnLevel[]
  teeTcbSvn?: number[]
  teeTcbSvn2?: number[]
}

const HEAD = { id: 'TDX', version: 3, issueDate: DATE, nextUpdate: DATE, evaluationNumber: 1 }

function evaluate({ levels, modules, qe, teeTcbSvn, teeTcbSvn2 }: Situation): string {
  const tcb = evaluateTcb({
    td: {
      teeTcbSvn: svns(...(teeTcbSvn ?? [5, 1, 5])),
      ...(teeTcbSvn2 && { teeTcbSvn2: svns(...teeTcbSvn2) }),
    } as TdReport,
    qe: { isvSvn: 4 } as QeReport,
    pck: { svns: svns(5), pceSvn: 10, pceId: zeros(2), fmspc: zeros(6) },
    tcbInfo: {
      ...HEAD,
      fmspc: zeros(6),
      pceId: zeros(2),
      module: signer,
      levels: levels ?? [platform(5, [5, 0, 5], 'UpToDate')],
      modules: modules ?? [module('TDX_01', level(5, 'UpToDate'), level(3, 'OutOfDate'))],
    },
    qeIdentity: { ...HEAD, levels: qe ?? [level(4, 'UpToDate')] } as unknown as QeIdentity,
  })
  return 'missing' in tcb ? `no ${tcb.missing}` : tcb.status
}

const LOWERED: [LevelStatus, string][] = [
  ['UpToDate', 'OutOfDate'],
  ['SWHardeningNeeded', 'OutOfDate'],
  ['ConfigurationNeeded', 'OutOfDateConfigurationNeeded'],
  ['ConfigurationAndSWHardeningNeeded', 'OutOfDateConfigurationNeeded'],
  ['OutOfDate', 'OutOfDate'],
  ['OutOfDateConfigurationNeeded', 'OutOfDateConfigurationNeeded'],
  ['Revoked', 'Revoked'],
]

for (const [status, lowered] of LOWERED) {
  const levels = [platform(5, [0, 0, 5], status)]
  test(`${status} with a module or QE that is out of date is ${lowered}, with a revoked one Revoked`, () => {
    assert.equal(evaluate({ levels }), status)
    assert.equal(evaluate({ levels, modules: [module('TDX_01', level(0, 'OutOfDate'))] }), lowered)
    assert.equal(evaluate({ levels, qe: [level(4, 'OutOfDate')] }), lowered)
    assert.equal(evaluate({ levels, modules: [module('TDX_01', level(0, 'Revoked'))] }), 'Revoked')
    assert.equal(evaluate({ levels, qe: [level(4, 'Revoked')] }), 'Revoked')
  })
}

test('the first level that fits is taken, and each component counts', () => {
  const levels = [platform(6, [0, 0, 5], 'UpToDate'), platform(5, [0, 0, 6], 'SWHardeningNeeded')]
  assert.equal(evaluate({ levels }), 'no platform level')
  assert.equal(evaluate({ levels: [...levels, platform(5, [0, 0, 5], 'OutOfDate')] }), 'OutOfDate')
  assert.equal(evaluate({ levels: [{ ...platform(5, [0, 0, 5], 'UpToDate'), pceSvn: 11 }] }), 'no platform level')
  for (let i = 2; i < 16; i++) {
    const tdx = Array.from({ length: 16 }, (_, at) => (at === i ? 6 : 0))
    assert.equal(evaluate({ levels: [platform(5, tdx, 'UpToDate')] }), 'no platform level', `component ${i}`)
  }
})

test('components 0 and 1 are compared only where the module has no major version', () => {
  const levels = [platform(5, [9, 9, 5], 'UpToDate')]
  assert.equal(evaluate({ levels }), 'UpToDate')
  assert.equal(evaluate({ levels, teeTcbSvn: [5, 0, 5] }), 'no platform level')
  assert.equal(
    evaluate({ levels: [platform(5, [5, 0, 5], 'UpToDate')], teeTcbSvn: [5, 0, 5], modules: [] }),
    'UpToDate',
  )
})

test('module and QE need a level, and the module an identity, whose name has two hex digits in any case', () => {
  assert.equal(evaluate({ modules: [module('TDX_01', level(6, 'UpToDate'))] }), 'no module level')
  assert.equal(evaluate({ modules: [module('TDX_03', level(0, 'UpToDate'))] }), 'no module identity')
  assert.equal(evaluate({ modules: [module('TDX_1', level(0, 'UpToDate'))] }), 'no module identity')
  assert.equal(evaluate({ modules: [module('tdx_0a', level(0, 'UpToDate'))], teeTcbSvn: [5, 10, 5] }), 'UpToDate')
  assert.equal(evaluate({ qe: [level(5, 'UpToDate')] }), 'no QE level')
  assert.equal(evaluate({ qe: [] }), 'no QE level')
})

/** Launched on module 3, which is out of date; the platform runs module 5 by now. */
const RELAUNCH: Situation = {
  levels: [platform(5, [5, 0, 5], 'UpToDate'), platform(5, [0, 0, 4], 'OutOfDate')],
  teeTcbSvn: [3, 1, 4],
  teeTcbSvn2: [5, 1, 5],
}

test('a TD that was launched on an old module of a platform with the present one is told to relaunch', () => {
  assert.equal(evaluate(RELAUNCH), 'TDRelaunchAdvised')
  const configuration = [platform(5, [5, 0, 5], 'ConfigurationNeeded'), platform(5, [0, 0, 4], 'OutOfDate')]
  assert.equal(evaluate({ ...RELAUNCH, levels: configuration }), 'TDRelaunchAdvisedConfigurationNeeded')
  const both = [platform(5, [5, 0, 5], 'UpToDate'), platform(5, [0, 0, 4], 'OutOfDateConfigurationNeeded')]
  assert.equal(evaluate({ ...RELAUNCH, levels: both }), 'TDRelaunchAdvisedConfigurationNeeded')
})

const NO_RELAUNCH: [string, Situation, string][] = [
  ['in a TD report 1.0', { levels: [platform(5, [0, 0, 4], 'UpToDate')], teeTcbSvn: [3, 1, 4] }, 'OutOfDate'],
  ['with an old module by now', { ...RELAUNCH, teeTcbSvn2: [4, 1, 5] }, 'OutOfDate'],
  ['with old microcode by now', { ...RELAUNCH, teeTcbSvn2: [5, 1, 4] }, 'OutOfDate'],
  ['with a QE that is out of date', { ...RELAUNCH, qe: [level(4, 'OutOfDate')] }, 'OutOfDate'],
  ['with a revoked QE', { ...RELAUNCH, qe: [level(4, 'Revoked')] }, 'Revoked'],
  ['with a module that is up to date', { ...RELAUNCH, teeTcbSvn: [5, 1, 4] }, 'OutOfDate'],
  [
    'with a platform that is out of date itself',
    { ...RELAUNCH, levels: [platform(5, [5, 0, 4], 'OutOfDate')] },
    'OutOfDate',
  ],
  ['of a revoked level', { ...RELAUNCH, levels: [platform(5, [5, 0, 4], 'Revoked')] }, 'Revoked'],
  ['to a module that nobody names', { ...RELAUNCH, teeTcbSvn2: [5, 7, 5] }, 'no module identity'],
]

for (const [name, situation, expected] of NO_RELAUNCH) {
  test(`no relaunch is advised ${name}`, () => assert.equal(evaluate(situation), expected))
}

test('a present module without a major version is compared with component 0 of the first level', () => {
  assert.equal(evaluate({ ...RELAUNCH, teeTcbSvn2: [5, 0, 5] }), 'TDRelaunchAdvised')
  assert.equal(evaluate({ ...RELAUNCH, teeTcbSvn2: [4, 0, 5] }), 'OutOfDate')
})

test('a module is known by its own identity, and SEAMATTRIBUTES must be zero whatever is listed', () => {
  const td = { teeTcbSvn: svns(5, 1, 5), mrSignerSeam: zeros(48), seamAttributes: zeros(8) } as unknown as TdReport
  const other = { mrSigner: new Uint8Array(48).fill(1), attributes: new Uint8Array(8).fill(1) }
  const info = (own: object, general: object) =>
    ({ ...HEAD, module: general, modules: [{ id: 'TDX_01', levels: [], ...own }], levels: [] }) as unknown as TcbInfo
  assert.equal(isKnownModule(td, info(signer, other)), true)
  assert.equal(isKnownModule(td, info(other, signer)), false)
  assert.equal(isKnownModule({ ...td, teeTcbSvn: svns(5, 0, 5) }, info(other, signer)), true)
  assert.equal(isKnownModule({ ...td, teeTcbSvn: svns(5, 2, 5) }, info(signer, signer)), false)
  const set = { ...td, seamAttributes: new Uint8Array(8).fill(1) }
  assert.equal(isKnownModule(set, info({ ...signer, attributes: set.seamAttributes }, signer)), false)
})
