import assert from 'node:assert/strict'
import { test } from 'node:test'
import { summaryFromJson, summaryToJson, type VerdictSummary, worsened } from './verdict-summary.ts'

const good: VerdictSummary = {
  evidenceType: 'snp',
  tier: 'affirming',
  simulated: false,
  platformId: 'ab',
  warnings: [],
  verifiedAt: new Date('2026-01-01T00:00:00Z'),
  expiresAt: new Date('2026-01-01T01:00:00Z'),
}
const later = { verifiedAt: new Date('2026-01-02'), expiresAt: new Date('2026-01-03') }

test('the same at another time is not worse, and fewer warnings are not', () => {
  assert.deepEqual(worsened(good, { ...good, ...later }), [])
  assert.deepEqual(worsened({ ...good, tier: 'warning', warnings: ['tcb.provisional'] }, good), [])
})

test('a new warning, another platform, another type and simulation are worse, each in words', () => {
  const { platformId: _, ...nameless } = good
  const worse = worsened(good, {
    ...nameless,
    ...later,
    tier: 'warning',
    evidenceType: 'tdx',
    simulated: true,
    warnings: ['tcb.out-of-date'],
  })
  assert.deepEqual(worse, [
    'tcb.out-of-date passed before and is a warning now',
    'the evidence is simulated now',
    'the evidence type was snp and is tdx now',
    'the platform was ab and is none now',
  ])
})

test('a summary comes back from its text; a damaged one is none', () => {
  const warned: VerdictSummary = { ...good, tier: 'warning', warnings: ['tcb.provisional'] }
  assert.deepEqual(summaryFromJson(summaryToJson(warned)), warned)
  const damaged = ['', '{', 'null', '{}', '[]']
  for (const key of ['evidenceType', 'tier', 'simulated', 'warnings', 'verifiedAt', 'expiresAt'])
    damaged.push(JSON.stringify({ ...JSON.parse(summaryToJson(warned)), [key]: undefined }))
  for (const text of damaged) assert.equal(summaryFromJson(text), undefined, text)
})
