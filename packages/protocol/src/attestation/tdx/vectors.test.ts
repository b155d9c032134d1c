/**
 * Genuine and synthetic quotes with the verdict that independent implementations gave (python-cryptography, OpenSSL).
 * The folder is TRUSTED_PODS_VECTORS, or ../shared/vectors beside the repository.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { fromHex, sha256, toHex } from '../../bytes.ts'
import { type Tier, worstTier } from '../checks.ts'
import { appraiseTdx, type TdxAppraisal, type TdxEvidence, type TdxOptions } from './appraise-tdx.ts'
import { fromDcapCollateral } from './dcap-collateral.ts'
import { type RtmrReference, STRICT_TDX_POLICY, type TdxPolicy } from './policy.ts'
import { parseTdxQuote } from './quote.ts'
import { INTEL_ROOT, type TdxRoot } from './roots.ts'

interface Vector {
  id: string
  quote: string
  collateral: string
  collateralOverrides?: Record<string, string>
  now: string
  expectedTcbStatus: string | null
  advisories?: string[]
  expected: Tier
  codes?: string[]
  codesAnyOf?: string[]
  code?: string | null
  policy?: { reportData?: string }
}

interface Mutation {
  base: string
  mutation: string
  offset: number
  xor: number
  expected: Tier
}

interface VectorFile {
  cases: Vector[]
  mutations?: Mutation[]
}

const real = join(SHARED_VECTORS, 'tdx')
const synthetic = join(real, 'synthetic')
const isThere = existsSync(join(real, 'cases.json'))
const skip = isThere ? false : `no vectors at ${real}: set TRUSTED_PODS_VECTORS`

function readVectors(folder: string): VectorFile {
  return isThere ? (JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as VectorFile) : { cases: [] }
}

function read(folder: string, path: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, path)))
}

function readEvidence(folder: string, vector: Vector): TdxEvidence {
  const document = JSON.parse(readFileSync(join(folder, vector.collateral), 'utf8')) as object
  return {
    report: read(folder, vector.quote),
    ...fromDcapCollateral({ ...document, ...vector.collateralOverrides }),
  }
}

/** The vectors' default policy: no minimum evaluation, any XFAM. */
const VECTOR_POLICY: TdxPolicy = {
  ...STRICT_TDX_POLICY,
  minTcbEvaluationDataNumber: 0,
  xfam: { mask: 0n, value: 0n },
}

/** Where a case wants no particular value, what the quote has is the reference value. */
function toOptions(vector: Vector, roots: readonly TdxRoot[], report: Uint8Array): TdxOptions {
  const td = parseTdxQuote(report).quote?.td
  const values = (value: Uint8Array | undefined): RtmrReference => ({ kind: 'values', values: [hex(value)] })
  const [r0, r1, r2, r3] = td?.rtmrs ?? []
  return {
    policy: VECTOR_POLICY,
    measurements: [
      {
        name: 'reference',
        tdx: {
          mrtd: [hex(td?.mrtd)],
          rtmr: [values(r0), values(r1), values(r2), values(r3)],
          mrConfigId: [hex(td?.mrConfigId)],
          mrOwner: [hex(td?.mrOwner)],
          mrOwnerConfig: [hex(td?.mrOwnerConfig)],
        },
      },
    ],
    revocation: 'required',
    roots,
    reportData: (vector.policy?.reportData ? fromHex(vector.policy.reportData) : td?.reportData) ?? new Uint8Array(64),
    now: new Date(vector.now),
  }
}

function hex(value: Uint8Array | undefined): string {
  return value === undefined ? '' : toHex(value)
}

function failedCodes({ checks }: TdxAppraisal): string[] {
  return checks.filter(({ tier }) => tier === 'warning' || tier === 'contraindicated').map(({ code }) => code)
}

function assertVerdict(appraisal: TdxAppraisal, vector: Vector): void {
  const failed = failedCodes(appraisal)
  const told = `${vector.id}: ${failed.join(', ')}`
  assert.equal(worstTier(appraisal.checks), vector.expected, told)
  for (const code of vector.codes ?? (vector.code ? [vector.code] : [])) assert.ok(failed.includes(code), told)
  if (vector.codesAnyOf)
    assert.ok(
      vector.codesAnyOf.some((code) => failed.includes(code)),
      told,
    )
  assert.equal(new Set(appraisal.checks.map(({ code }) => code)).size, appraisal.checks.length, 'a check came twice')
}

function assertStatus({ tcb }: TdxAppraisal, vector: Vector): void {
  if (vector.expectedTcbStatus === null) return
  assert.equal(tcb?.status, vector.expectedTcbStatus)
  if (vector.advisories) assert.deepEqual(tcb?.advisories, vector.advisories.toSorted())
}

async function syntheticRoots(): Promise<TdxRoot[]> {
  return [{ fingerprint: toHex(await sha256(read(synthetic, 'root.der'))), maker: 'Intel' }]
}

const realVectors = readVectors(real)
const syntheticVectors = readVectors(synthetic)

test('there are vectors', { skip }, () => {
  assert.equal(realVectors.cases.length, 19)
  assert.equal(realVectors.mutations?.length, 30)
  assert.equal(syntheticVectors.cases.length, 63)
})

for (const vector of realVectors.cases) {
  test(`genuine ${vector.id} is ${vector.expected}`, { skip }, async () => {
    const evidence = readEvidence(real, vector)
    const appraisal = await appraiseTdx(evidence, toOptions(vector, [INTEL_ROOT], evidence.report))
    assertVerdict(appraisal, vector)
    assertStatus(appraisal, vector)
  })
}

for (const mutation of realVectors.mutations ?? []) {
  test(`genuine ${mutation.base} with ${mutation.mutation} changed is ${mutation.expected}`, { skip }, async () => {
    const base = realVectors.cases.find(({ id }) => id === mutation.base)
    assert.ok(base)
    const evidence = readEvidence(real, base)
    const options = toOptions(base, [INTEL_ROOT], evidence.report)
    const report = evidence.report.slice()
    report[mutation.offset] = (report[mutation.offset] ?? 0) ^ mutation.xor
    const appraisal = await appraiseTdx({ ...evidence, report }, options)
    assertVerdict(appraisal, { ...base, expected: mutation.expected, codes: [] })
  })
}

/** A quote whose form is refused gives no chain to judge. */
const UNREADABLE = /^format\.(length|version|tee-type|algorithm|cert-type)$/

for (const vector of syntheticVectors.cases) {
  test(`synthetic ${vector.id} is ${vector.expected}`, { skip }, async () => {
    const evidence = readEvidence(synthetic, vector)
    const appraisal = await appraiseTdx(evidence, toOptions(vector, await syntheticRoots(), evidence.report))
    assertVerdict(appraisal, vector)
    assertStatus(appraisal, vector)
  })
  test(`synthetic ${vector.id} has no trusted root in production`, { skip }, async () => {
    const evidence = readEvidence(synthetic, vector)
    const appraisal = await appraiseTdx(evidence, toOptions(vector, [INTEL_ROOT], evidence.report))
    const codes = UNREADABLE.test(vector.code ?? '') ? [] : ['chain.untrusted-root']
    assertVerdict(appraisal, { ...vector, expected: 'contraindicated', code: null, codes })
  })
}
