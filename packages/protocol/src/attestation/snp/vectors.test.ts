/**
 * Genuine and synthetic reports with the verdict that an independent implementation gave (python-cryptography, OpenSSL).
 * The folder is TRUSTED_PODS_VECTORS, or ../shared/vectors beside the repository.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { sha256, toHex } from '../../bytes.ts'
import { type Tier, worstTier } from '../checks.ts'
import { appraiseSnp, type SnpAppraisal, type SnpEvidence, type SnpOptions } from './appraise-snp.ts'
import type { ProductPolicy, SnpPolicy } from './policy.ts'
import { STRICT_SNP_POLICY } from './policy.ts'
import { AMD_ROOTS, type TrustedRoot } from './roots.ts'
import type { HardwareProduct, Tcb } from './tcb.ts'

interface VectorPolicy {
  minTcb?: Partial<Record<HardwareProduct, Partial<Tcb>>>
  minLaunchTcb?: Partial<Record<HardwareProduct, Partial<Tcb>>>
  smt?: 'allow' | 'forbid'
  vmpl?: number
  revocation?: 'required' | 'preferred'
  reportData?: string
  measurements?: string[]
  hostData?: string[]
  idKeyDigests?: string[]
  requireAliasCheck?: boolean
  minMitigationVector?: string
}

interface Vector {
  id: string
  report: string
  endorsement: string
  intermediate: string
  root: string
  trustedRoot: string
  crl: string | null
  now: string
  expected: Tier
  codes?: string[]
  codesAnyOf?: string[]
  code?: string | null
  policy?: VectorPolicy
}

interface Mutation {
  base: string
  mutation: string
  offset: number
  xor: number
  expected: Tier
  indicativeCode: string
}

interface VectorFile {
  cases: Vector[]
  mutations?: Mutation[]
}

const root = process.env.TRUSTED_PODS_VECTORS ?? resolve(import.meta.dirname, '../../../../../../shared/vectors')
const real = join(root, 'snp')
const synthetic = join(real, 'synthetic')
const isThere = existsSync(join(real, 'cases.json'))
const skip = isThere ? false : `no vectors at ${real}: set TRUSTED_PODS_VECTORS`

function readVectors(folder: string): VectorFile {
  return isThere ? (JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as VectorFile) : { cases: [] }
}

function read(folder: string, path: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, path)))
}

function readEvidence(folder: string, vector: Vector): SnpEvidence {
  return {
    report: read(folder, vector.report),
    certificates: [vector.endorsement, vector.intermediate, vector.root].map((path) => read(folder, path)),
    crls: vector.crl === null ? [] : [read(folder, vector.crl)],
  }
}

const ZERO: Tcb = { fmc: 0, bl: 0, tee: 0, snp: 0, ucode: 0 }

/** The vectors' default policy: no floor, no cap; a case overrides what it names. */
function toSnpPolicy(given: VectorPolicy): SnpPolicy {
  const product = (line: HardwareProduct): ProductPolicy => ({
    minTcb: { ...ZERO, ...given.minTcb?.[line] },
    minLaunchTcb: { ...ZERO, ...given.minLaunchTcb?.[line] },
    minMitigation: Number(given.minMitigationVector ?? 0),
    cap: 'affirming',
  })
  return {
    products: { Milan: product('Milan'), Genoa: product('Genoa'), Turin: product('Turin') },
    endorsement: ['vcek', 'vlek'],
    policy: { ...STRICT_SNP_POLICY.policy, smt: given.smt !== 'forbid', vmpl: [given.vmpl ?? 0] },
    platformInfo: { aliasCheckComplete: given.requireAliasCheck ? true : 'any', ciphertextHidingDram: 'any' },
    idKeyDigests: given.idKeyDigests ?? 'any',
  }
}

/** Where a case wants no particular value, what the report has is the reference value. */
function toOptions(vector: Vector, roots: readonly TrustedRoot[], report: Uint8Array): SnpOptions {
  const given = vector.policy ?? {}
  const launch = given.measurements ?? [toHex(report.subarray(0x90, 0xc0))]
  const hostData = given.hostData ?? [toHex(report.subarray(0xc0, 0xe0))]
  return {
    policy: toSnpPolicy(given),
    measurements: [{ name: 'reference', snp: { launch, hostData } }],
    revocation: given.revocation ?? 'preferred',
    roots,
    reportData: given.reportData ? Buffer.from(given.reportData, 'hex') : report.slice(0x50, 0x90),
    now: new Date(vector.now),
  }
}

function failedCodes({ checks }: SnpAppraisal): string[] {
  return checks.filter(({ tier }) => tier === 'warning' || tier === 'contraindicated').map(({ code }) => code)
}

function assertVerdict(appraisal: SnpAppraisal, vector: Vector): void {
  const failed = failedCodes(appraisal)
  const told = `${vector.id}: ${failed.join(', ')}`
  assert.equal(worstTier(appraisal.checks), vector.expected, told)
  for (const code of vector.codes ?? (vector.code ? [vector.code] : [])) assert.ok(failed.includes(code), told)
  if (vector.codesAnyOf)
    assert.ok(
      vector.codesAnyOf.some((code) => failed.includes(code)),
      told,
    )
}

async function syntheticRoots(vector: Vector): Promise<TrustedRoot[]> {
  const fingerprint = toHex(await sha256(read(synthetic, vector.trustedRoot)))
  return [{ fingerprint, product: vector.trustedRoot.includes('turin') ? 'Turin' : 'Milan' }]
}

const realVectors = readVectors(real)
const syntheticVectors = readVectors(synthetic)

test('there are vectors', { skip }, () => {
  assert.equal(realVectors.cases.length, 24)
  assert.equal(realVectors.mutations?.length, 42)
  assert.equal(syntheticVectors.cases.length, 58)
})

for (const vector of realVectors.cases) {
  test(`genuine ${vector.id} is ${vector.expected}`, { skip }, async () => {
    const evidence = readEvidence(real, vector)
    assertVerdict(await appraiseSnp(evidence, toOptions(vector, AMD_ROOTS, evidence.report)), vector)
  })
}

for (const mutation of realVectors.mutations ?? []) {
  test(`genuine ${mutation.base} with ${mutation.mutation} changed is ${mutation.expected}`, { skip }, async () => {
    const base = realVectors.cases.find(({ id }) => id === mutation.base)
    assert.ok(base)
    const evidence = readEvidence(real, base)
    const options = toOptions(base, AMD_ROOTS, evidence.report)
    const report = evidence.report.slice()
    report[mutation.offset] = (report[mutation.offset] ?? 0) ^ mutation.xor
    const appraisal = await appraiseSnp({ ...evidence, report }, options)
    assertVerdict(appraisal, { ...base, expected: mutation.expected, codes: [mutation.indicativeCode] })
  })
}

for (const vector of syntheticVectors.cases) {
  test(`synthetic ${vector.id} is ${vector.expected}`, { skip }, async () => {
    const evidence = readEvidence(synthetic, vector)
    const options = toOptions(vector, await syntheticRoots(vector), evidence.report)
    assertVerdict(await appraiseSnp(evidence, options), vector)
  })
  test(`synthetic ${vector.id} has no trusted root in production`, { skip }, async () => {
    const evidence = readEvidence(synthetic, vector)
    const appraisal = await appraiseSnp(evidence, toOptions(vector, AMD_ROOTS, evidence.report))
    assertVerdict(appraisal, { ...vector, expected: 'contraindicated', codes: ['chain.untrusted-root'] })
  })
}

test('without a revocation list, revocation: required refuses', { skip }, async () => {
  const vector = syntheticVectors.cases.find(({ id }) => id === 'crl-absent')
  assert.ok(vector)
  const evidence = readEvidence(synthetic, vector)
  const options = toOptions(vector, await syntheticRoots(vector), evidence.report)
  const appraisal = await appraiseSnp(evidence, { ...options, revocation: 'required' })
  assert.deepEqual(failedCodes(appraisal), ['chain.revocation-unknown'])
  assert.equal(worstTier(appraisal.checks), 'contraindicated')
})

/** A genuine or synthetic baseline under a policy with some values changed. */
async function appraiseUnder(id: string, change: (policy: SnpPolicy) => SnpPolicy): Promise<SnpAppraisal> {
  const vector = syntheticVectors.cases.find((candidate) => candidate.id === id)
  assert.ok(vector)
  const evidence = readEvidence(synthetic, vector)
  const options = toOptions(vector, await syntheticRoots(vector), evidence.report)
  return await appraiseSnp(evidence, { ...options, policy: change(options.policy) })
}

const OTHER_KEY = '22'.repeat(48)

const DEMANDS: [string, string, (policy: SnpPolicy) => SnpPolicy][] = [
  ['policy.endorsement', 'ok-vlek', (policy) => ({ ...policy, endorsement: ['vcek'] })],
  ['policy.endorsement', 'ok-milan-v3', (policy) => ({ ...policy, endorsement: [] })],
  [
    'policy.single-socket',
    'ok-milan-v3',
    (policy) => ({ ...policy, policy: { ...policy.policy, singleSocket: true } }),
  ],
  ['policy.vmpl', 'ok-milan-v3', (policy) => ({ ...policy, policy: { ...policy.policy, vmpl: [] } })],
  [
    'platform.ciphertext-hiding',
    'ok-milan-v3',
    (policy) => ({ ...policy, platformInfo: { ...policy.platformInfo, ciphertextHidingDram: true } }),
  ],
  ['id-block.unknown', 'id-block-trusted', (policy) => ({ ...policy, idKeyDigests: [OTHER_KEY] })],
]

for (const [code, id, change] of DEMANDS) {
  test(`${id} is refused with ${code} where the policy demands it`, { skip }, async () => {
    const appraisal = await appraiseUnder(id, change)
    assert.equal(worstTier(appraisal.checks), 'contraindicated')
    assert.deepEqual(failedCodes(appraisal), [code])
  })
}

test('a processor line that the policy does not name is refused', { skip }, async () => {
  const appraisal = await appraiseUnder('ok-milan-v3', (policy) => ({ ...policy, products: {} }))
  assert.ok(failedCodes(appraisal).includes('platform.product'))
  assert.equal(worstTier(appraisal.checks), 'contraindicated')
})

test('a capped processor line is never affirmed', { skip }, async () => {
  const capped = { ...STRICT_SNP_POLICY.products.Milan, cap: 'warning' } as ProductPolicy
  const appraisal = await appraiseUnder('ok-milan-v3', (policy) => ({ ...policy, products: { Milan: capped } }))
  assert.deepEqual(failedCodes(appraisal), ['platform.product'])
  assert.equal(worstTier(appraisal.checks), 'warning')
})

test('a verdict on genuine hardware names the chip, and on Turin its 8 bytes', { skip }, async () => {
  const ids = new Map<string, string | undefined>()
  for (const id of ['genoa-v5-oak', 'turin-v5-ms', 'milan-v3-vlek-aws']) {
    const vector = realVectors.cases.find((candidate) => candidate.id === id)
    assert.ok(vector)
    const evidence = readEvidence(real, vector)
    ids.set(id, (await appraiseSnp(evidence, toOptions(vector, AMD_ROOTS, evidence.report))).platformId)
  }
  assert.equal(ids.get('genoa-v5-oak')?.length, 128)
  assert.equal(ids.get('turin-v5-ms'), '59790fb1c39f35c1')
  assert.equal(ids.get('milan-v3-vlek-aws'), undefined)
})
