/**
 * One test for each way in which another verifier was seen to be wrong (research on go-tdx-guest, dcap-qvl and its wasm), and for
 * what each demand of a policy refuses. The vectors are those of vectors.test.ts.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { sha256, toHex } from '../../bytes.ts'
import { worstTier } from '../checks.ts'
import { appraiseTdx, type TdxAppraisal, type TdxEvidence, type TdxOptions } from './appraise-tdx.ts'
import { fromDcapCollateral } from './dcap-collateral.ts'
import { type RtmrReference, STRICT_TDX_POLICY, type TdxPolicy, type TdxReference } from './policy.ts'
import { parseTdxQuote } from './quote.ts'
import { INTEL_ROOT } from './roots.ts'

const real = join(SHARED_VECTORS, 'tdx')
const isThere = existsSync(join(real, 'cases.json'))
const skip = isThere ? false : `no vectors at ${real}: set TRUSTED_PODS_VECTORS`

interface Case {
  folder: string
  id: string
  quote: string
  collateral: string
  collateralOverrides?: Record<string, string>
  now: string
}

function readCases(folder: string): Case[] {
  if (!isThere) return []
  const { cases } = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as { cases: Omit<Case, 'folder'>[] }
  return cases.map((entry) => ({ ...entry, folder }))
}

const cases = [...readCases(real), ...readCases(join(real, 'synthetic'))]

interface Setup {
  evidence: TdxEvidence
  options: TdxOptions
}

/** A case as it is, judged strictly apart from XFAM and evaluation, with its own values as reference. */
async function open(id: string): Promise<Setup> {
  const found = cases.find((candidate) => candidate.id === id)
  assert.ok(found, id)
  const { folder, quote, collateral, collateralOverrides, now } = found
  const isSynthetic = folder.endsWith('synthetic')
  const rootDer = isSynthetic ? new Uint8Array(readFileSync(join(folder, 'root.der'))) : undefined
  const document = JSON.parse(readFileSync(join(folder, collateral), 'utf8')) as object
  const report = new Uint8Array(readFileSync(join(folder, quote)))
  const td = parseTdxQuote(report).quote?.td
  return {
    evidence: { report, ...fromDcapCollateral({ ...document, ...collateralOverrides }) },
    options: {
      policy: { ...STRICT_TDX_POLICY, minTcbEvaluationDataNumber: 0, xfam: { mask: 0n, value: 0n } },
      measurements: [{ name: 'reference', tdx: referenceOf(report) }],
      revocation: 'required',
      roots: rootDer ? [{ fingerprint: toHex(await sha256(rootDer)), maker: 'Intel' }] : [INTEL_ROOT],
      reportData: td?.reportData ?? new Uint8Array(64),
      now: new Date(now),
    },
  }
}

function referenceOf(report: Uint8Array): TdxReference {
  const td = parseTdxQuote(report).quote?.td
  assert.ok(td)
  const values = (value: Uint8Array): RtmrReference => ({ kind: 'values', values: [toHex(value)] })
  const [r0, r1, r2, r3] = td.rtmrs
  return {
    mrtd: [toHex(td.mrtd)],
    rtmr: [values(r0), values(r1), values(r2), values(r3)],
    mrConfigId: [toHex(td.mrConfigId)],
    mrOwner: [toHex(td.mrOwner)],
    mrOwnerConfig: [toHex(td.mrOwnerConfig)],
  }
}

function failed({ checks }: TdxAppraisal): string[] {
  return checks.filter(({ tier }) => tier === 'warning' || tier === 'contraindicated').map(({ code }) => code)
}

interface Changes {
  evidence?: Partial<TdxEvidence>
  options?: Partial<TdxOptions>
  policy?: Partial<TdxPolicy>
}

async function judge(id: string, { evidence, options, policy }: Changes = {}): Promise<TdxAppraisal> {
  const setup = await open(id)
  const base = setup.options
  return await appraiseTdx(
    { ...setup.evidence, ...evidence },
    { ...base, ...options, policy: { ...base.policy, ...policy } },
  )
}

async function refuses(codes: string[], id: string, changes: Changes = {}): Promise<void> {
  const appraisal = await judge(id, changes)
  assert.equal(worstTier(appraisal.checks), 'contraindicated')
  for (const code of codes) assert.ok(failed(appraisal).includes(code), failed(appraisal).join(', '))
}

test("go-tdx-guest: the platform level's status is not lost when the module is up to date", { skip }, async () => {
  await refuses(['tcb.out-of-date'], 'v4-00806f05-gcp-outdated')
  await refuses(['tcb.revoked'], 'revoked-level')
  await refuses(['tcb.out-of-date'], 'out-of-date-config')
})

test('go-tdx-guest: a TD launched on an old module is told to relaunch, not refused', { skip }, async () => {
  assert.equal(worstTier((await judge('relaunch-advised')).checks), 'warning')
})

test('go-tdx-guest: lists and collateral from the future are refused', { skip }, async () => {
  await refuses(['chain.revocation-stale'], 'v4-b0c06f-phala-collateral-future')
  await refuses(['collateral.not-yet-valid'], 'tcb-info-future')
})

test('go-tdx-guest: a QE authentication data length beyond the quote is a finding, no exception', {
  skip,
}, async () => {
  const { evidence } = await open('v4-90c06f-azure')
  const report = evidence.report.slice()
  report.fill(0xff, 1218, 1220) // 48 header + 584 body + 4 + 128 + 6 + 384 + 64: the length of the authentication data
  await refuses(['format.length'], 'v4-90c06f-azure', { evidence: { report } })
})

test('go-tdx-guest: a version 5 quote is judged whole, service TD and all', { skip }, async () => {
  assert.deepEqual(failed(await judge('ok-v5-td15')), [])
  await refuses(['policy.service-td'], 'mr-service-td')
})

test("go-tdx-guest: the module's signer is compared with the module identity's own", { skip }, async () => {
  await refuses(['tcb.module-mismatch'], 'module-mrsigner')
  await refuses(['tcb.module-mismatch'], 'module-identity-missing')
})

test('go-tdx-guest: debug is refused by default', { skip }, async () => refuses(['policy.debug'], 'td-debug'))

test('go-tdx-guest: bytes behind the quote are looked at', { skip }, async () => {
  await refuses(['format.trailing'], 'trailing-nonzero')
  assert.deepEqual(failed(await judge('trailing-zero')), [])
})

test('dcap-qvl: components 0 and 1 are not compared where the module has its own level', { skip }, async () => {
  assert.deepEqual(failed(await judge('v4-00806f05-gcp-cos113')), [])
  assert.deepEqual(failed(await judge('module-svn-below-component0')), [])
})

test('dcap-qvl: a forged, garbled, foreign or ended list is never passed over', { skip }, async () => {
  await refuses(['chain.revocation-unknown'], 'crl-forged')
  await refuses(['chain.revocation-unknown'], 'crl-forged-hides-revocation')
  await refuses(['chain.revocation-unknown'], 'crl-garbage')
  await refuses(['chain.revocation-unknown'], 'crl-wrong-issuer')
  await refuses(['chain.revocation-stale'], 'crl-expired')
})

test('dcap-qvl: a PCK signs neither certificates nor collateral', { skip }, async () => {
  await refuses(['chain.not-ca'], 'non-ca-intermediate')
  await refuses(['chain.purpose'], 'collateral-signed-by-pck')
})

test('dcap-qvl: PCEID must match', { skip }, async () => refuses(['collateral.pceid'], 'pceid-mismatch'))

test('dcap-qvl-web: the QE identity is judged, its signature and its levels', { skip }, async () => {
  await refuses(['collateral.signature', 'qe.identity-mismatch'], 'qe-identity-tampered')
  await refuses(['qe.identity-mismatch'], 'qe-mrsigner')
  await refuses(['tcb.not-supported'], 'qe-svn-unsupported')
})

test('dcap-qvl-web: a TCB below all levels is refused', { skip }, async () =>
  refuses(['tcb.not-supported'], 'not-supported'),
)

test('a list is needed of root and PCK CA both; preferred makes lacking ones a warning', { skip }, async () => {
  const { evidence } = await open('ok-v4')
  const [rootList, pckList] = evidence.crls
  assert.ok(rootList && pckList)
  for (const crls of [[], [rootList], [pckList]]) {
    await refuses(['chain.revocation-unknown'], 'ok-v4', { evidence: { crls } })
    const preferred = await judge('ok-v4', { evidence: { crls }, options: { revocation: 'preferred' } })
    assert.deepEqual(failed(preferred), ['chain.revocation-unknown'])
    assert.equal(worstTier(preferred.checks), 'warning')
  }
  assert.deepEqual(failed(await judge('ok-v4', { evidence: { crls: [pckList, rootList] } })), [])
})

test('a forged list is refused though lists are only preferred', { skip }, async () => {
  await refuses(['chain.revocation-unknown'], 'crl-forged', { options: { revocation: 'preferred' } })
})

test('collateral that lacks, comes twice or is of another kind is refused', { skip }, async () => {
  const { evidence } = await open('ok-v4')
  const [tcbInfo, qeIdentity] = evidence.collateral
  assert.ok(tcbInfo && qeIdentity)
  const wrong = [
    [],
    [tcbInfo],
    [tcbInfo, tcbInfo],
    [tcbInfo, qeIdentity, qeIdentity],
    [tcbInfo, { ...qeIdentity, kind: 'x' }],
  ]
  for (const collateral of wrong) await refuses(['format.collateral'], 'ok-v4', { evidence: { collateral } })
})

test('TCB info written anew has another signature', { skip }, async () => {
  const { evidence } = await open('ok-v4')
  const collateral = evidence.collateral.map((piece) => ({
    ...piece,
    body: new TextEncoder().encode(JSON.stringify(JSON.parse(new TextDecoder().decode(piece.body)), undefined, 1)),
  }))
  await refuses(['collateral.signature'], 'ok-v4', { evidence: { collateral } })
})

test('collateral under another root than the PCK is refused, though both are trusted', { skip }, async () => {
  const { options, evidence } = await open('ok-v4')
  const { collateral } = (await open('v4-90c06f-azure')).evidence
  const roots = [...options.roots, INTEL_ROOT]
  await refuses(['chain.untrusted-root'], 'ok-v4', { evidence: { ...evidence, collateral }, options: { roots } })
})

const DEMANDS: [string, string, Partial<TdxPolicy>][] = [
  ['collateral.evaluation', 'ok-v4', { minTcbEvaluationDataNumber: 20 }],
  ['policy.xfam', 'ok-v4', { xfam: { mask: 1n, value: 0n } }],
  ['policy.perfmon', 'perfmon', { attributes: { ...STRICT_TDX_POLICY.attributes, perfmon: 'contraindicated' } }],
  ['tcb.sw-hardening', 'sw-hardening', { tcb: { ...STRICT_TDX_POLICY.tcb, swHardeningNeeded: 'contraindicated' } }],
  ['tcb.configuration', 'config-needed', { tcb: { ...STRICT_TDX_POLICY.tcb, configurationNeeded: 'contraindicated' } }],
  ['tcb.relaunch', 'relaunch-advised', { tcb: { ...STRICT_TDX_POLICY.tcb, relaunchAdvised: 'contraindicated' } }],
  ['tcb.advisory', 'sw-hardening', { advisories: { allow: ['INTEL-SA-00615'], deny: ['INTEL-SA-00615'] } }],
]

for (const [code, id, policy] of DEMANDS) {
  test(`${id} is refused with ${code} where the policy demands it`, { skip }, async () =>
    refuses([code], id, { policy }),
  )
}

const RELIEFS: [string, Partial<TdxPolicy>][] = [
  ['no-sept-ve-disable', { attributes: { ...STRICT_TDX_POLICY.attributes, septVeDisable: 'any' } }],
  ['migratable', { attributes: { ...STRICT_TDX_POLICY.attributes, migratable: true } }],
  ['perfmon', { attributes: { ...STRICT_TDX_POLICY.attributes, perfmon: 'affirming' } }],
  [
    'sw-hardening',
    {
      tcb: { ...STRICT_TDX_POLICY.tcb, swHardeningNeeded: 'affirming' },
      advisories: { allow: ['INTEL-SA-00615'], deny: [] },
    },
  ],
]

for (const [id, policy] of RELIEFS) {
  test(`${id} is affirmed where the policy says so`, { skip }, async () => {
    assert.deepEqual(failed(await judge(id, { policy })), [])
  })
}

test('a named service TD is allowed', { skip }, async () => {
  const { evidence } = await open('mr-service-td')
  const serviceTd = parseTdxQuote(evidence.report).quote?.td.mrServiceTd
  assert.ok(serviceTd)
  assert.deepEqual(failed(await judge('mr-service-td', { policy: { serviceTd: [toHex(serviceTd)] } })), [])
  await refuses(['policy.service-td'], 'mr-service-td', { policy: { serviceTd: ['11'.repeat(48)] } })
})

test('a TCB that is out of date is a warning within its days of grace, and no longer', { skip }, async () => {
  const grace = (outOfDateGraceDays: number) => ({ tcb: { ...STRICT_TDX_POLICY.tcb, outOfDateGraceDays } })
  const now = new Date('2024-04-13T00:00:00Z') // The level is of 2024-03-13; the rest of the evidence is of 2026.
  const at = async (days: number) => {
    const { checks } = await judge('out-of-date', { policy: grace(days), options: { now } })
    return checks.find(({ code }) => code === 'tcb.out-of-date')?.tier
  }
  assert.deepEqual([await at(0), await at(30), await at(31)], ['contraindicated', 'contraindicated', 'warning'])
})

test('collateral past its end is a warning within its hours of grace, and no longer', { skip }, async () => {
  const tier = async (collateralGraceHours: number) => {
    const { checks } = await judge('tcb-info-expired', { policy: { collateralGraceHours } })
    return checks.find(({ code }) => code === 'collateral.expired')?.tier
  }
  assert.deepEqual([await tier(0), await tier(1)], ['contraindicated', 'warning'])
})

test('a verdict names platform instance, status and the first end of all', { skip }, async () => {
  const appraisal = await judge('v4-90c06f-azure')
  assert.match(appraisal.platformId ?? '', /^[0-9a-f]{32}$/)
  assert.deepEqual(appraisal.tcb, {
    status: 'UpToDate',
    date: new Date('2024-11-13T00:00:00Z'),
    advisories: [],
    evaluationNumber: 18,
  })
  assert.equal(appraisal.validUntil?.toISOString(), '2026-04-15T22:06:09.000Z')
})
