/**
 * Genuine and synthetic reports with the verdict that an independent implementation gave (python-cryptography, OpenSSL).
 * The folder is TRUSTED_PODS_VECTORS, or ../shared/vectors beside the repository.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { judgeVector } from '../../../../../test/support/vectors/judge-vector.ts'
import { SHARED_VECTORS } from '../../../../../test/support/vectors/shared-vectors.ts'
import { isBroken, readVectors, type Vector } from '../../../../../test/support/vectors/vector.ts'
import { appraise } from '../appraise.ts'
import type { Verdict } from '../verdict.ts'
import { type ProductPolicy, type SnpPolicy, STRICT_SNP_POLICY } from './policy.ts'

const folder = join(SHARED_VECTORS, 'snp')
const isThere = existsSync(join(folder, 'cases.json'))
const skip = isThere ? false : `no vectors at ${folder}: set TRUSTED_PODS_VECTORS`
const vectors = isThere ? (await readVectors(folder)).filter((vector): vector is Vector => !isBroken(vector)) : []

test('there are 24 genuine cases, 42 mutations of them and 58 synthetic cases', { skip }, () => {
  assert.equal(vectors.length, 24 + 42 + 58)
})

for (const vector of vectors) {
  test(`${vector.id} is ${vector.expected}`, async () => {
    assert.equal((await judgeVector(vector)).wrong, undefined)
  })
}

function find(id: string): Vector {
  const vector = vectors.find((candidate) => candidate.id === id)
  assert.ok(vector)
  return vector
}

/** A vector under a policy with some values changed. */
async function appraiseUnder(id: string, change: (policy: SnpPolicy) => SnpPolicy): Promise<Verdict> {
  const { evidence, options } = find(id)
  return await appraise(evidence, { ...options, policy: { ...options.policy, snp: change(options.policy.snp) } })
}

function failedCodes({ checks }: Verdict): string[] {
  return checks
    .filter(({ tier, code }) => code !== 'platform.unpinned' && (tier === 'warning' || tier === 'contraindicated'))
    .map(({ code }) => code)
}

test('without a revocation list, revocation: required refuses', { skip }, async () => {
  const { evidence, options } = find('crl-absent')
  const freshness = { ...options.policy.freshness, revocation: 'required' as const }
  const verdict = await appraise(evidence, { ...options, policy: { ...options.policy, freshness } })
  assert.deepEqual(failedCodes(verdict), ['chain.revocation-unknown'])
  assert.equal(verdict.tier, 'contraindicated')
})

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
    const verdict = await appraiseUnder(id, change)
    assert.equal(verdict.tier, 'contraindicated')
    assert.deepEqual(failedCodes(verdict), [code])
  })
}

test('a processor line that the policy does not name is refused', { skip }, async () => {
  const verdict = await appraiseUnder('ok-milan-v3', (policy) => ({ ...policy, products: {} }))
  assert.ok(failedCodes(verdict).includes('platform.product'))
  assert.equal(verdict.tier, 'contraindicated')
})

test('a capped processor line is never affirmed', { skip }, async () => {
  const capped = { ...STRICT_SNP_POLICY.products.Milan, cap: 'warning' } as ProductPolicy
  const verdict = await appraiseUnder('ok-milan-v3', (policy) => ({ ...policy, products: { Milan: capped } }))
  assert.deepEqual(failedCodes(verdict), ['platform.product'])
  assert.equal(verdict.tier, 'warning')
})

test('a verdict on genuine hardware names the chip, and on Turin its 8 bytes', { skip }, async () => {
  const idOf = async (id: string) => {
    const { evidence, options } = find(id)
    return (await appraise(evidence, options)).platformId
  }
  assert.equal((await idOf('genoa-v5-oak'))?.length, 128)
  assert.equal(await idOf('turin-v5-ms'), '59790fb1c39f35c1')
  assert.equal(await idOf('milan-v3-vlek-aws'), undefined)
})
