import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import {
  CHECK_CODES,
  type Check,
  type CheckCode,
  isWarningCode,
  judge,
  rate,
  type Tier,
  unexamined,
  worstTier,
} from './checks.ts'
import { type Policy, STRICT_POLICY } from './policy.ts'
import { formatVerdict, isAccepted, SIMULATED_BANNER, type Verdict } from './verdict.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const TOLERANT: Policy = { ...STRICT_POLICY, require: 'warning', allow: ['tcb.provisional'] }

function verdict(checks: Check[], simulated = false): Verdict {
  return { tier: worstTier(checks), checks, simulated, evidenceType: 'snp', verifiedAt: NOW, expiresAt: NOW }
}

const passed = judge('binding.nonce', true, '07', '07')
const failed = judge('policy.debug', false, 'off', 'on')
const warned = (code: CheckCode) => rate(code, 'warning', 'a', 'b')

test('the worst check decides the tier, and what was not examined is worse than a warning', () => {
  const [lacking] = unexamined(['policy.smt', 'binding.nonce'], [passed])
  assert.ok(lacking)
  const tiers: [Check[], Tier][] = [
    [[], 'none'],
    [[passed], 'affirming'],
    [[warned('tcb.provisional'), passed], 'warning'],
    [[warned('tcb.provisional'), lacking], 'none'],
    [[lacking, failed], 'contraindicated'],
  ]
  for (const [checks, tier] of tiers) assert.equal(worstTier(checks), tier)
  assert.equal(lacking.code, 'policy.smt')
})

test('only affirming checks are accepted by a policy that requires it', () => {
  assert.equal(isAccepted(verdict([passed]), STRICT_POLICY), true)
  assert.equal(isAccepted(verdict([passed, warned('tcb.provisional')]), STRICT_POLICY), false)
  assert.equal(isAccepted(verdict([]), STRICT_POLICY), false)
})

test('a warning is tolerated by its name only, and nothing worse ever', () => {
  assert.equal(isAccepted(verdict([passed, warned('tcb.provisional')]), TOLERANT), true)
  assert.equal(isAccepted(verdict([passed, warned('chain.revocation-stale')]), TOLERANT), false)
  assert.equal(isAccepted(verdict([passed]), TOLERANT), true)
  assert.equal(isAccepted(verdict([failed]), { ...TOLERANT, allow: ['policy.debug'] }), false)
  const untold = rate('tcb.provisional', 'none', '', 'not examined')
  assert.equal(isAccepted(verdict([untold]), TOLERANT), false)
})

test('simulated evidence is refused without the allow word, whatever its checks say', () => {
  assert.equal(isAccepted(verdict([passed], true), STRICT_POLICY), false)
  assert.equal(isAccepted(verdict([passed], true), TOLERANT), false)
})

test('a verdict whose tier hides a refusal is refused', () => {
  assert.equal(isAccepted({ ...verdict([failed]), tier: 'affirming' }, STRICT_POLICY), false)
})

test('each check is a line with its tick, the banner comes first, the result last', () => {
  const untold = rate('tcb.provisional', 'none', '', 'not examined')
  const lines = formatVerdict(verdict([passed, warned('trust.simulated'), untold, failed], true), { color: false })
  assert.equal(lines[0], SIMULATED_BANNER)
  assert.ok(lines[1]?.startsWith('✔ binding.nonce: '))
  assert.ok(lines[2]?.startsWith('! trust.simulated: '))
  assert.ok(lines[3]?.startsWith('? tcb.provisional: '))
  assert.match(lines[4] ?? '', /^✘ policy\.debug: .*expected off, got on \(report 0x008\); /)
  assert.equal(lines[5], 'verdict: contraindicated (snp, until 2026-06-01T00:00:00.000Z)')
  assert.equal(lines.length, 6)
  assert.ok(!formatVerdict(verdict([passed]), { color: false }).includes(SIMULATED_BANNER))
})

test('colours are only there when asked for', () => {
  const checks = [passed, failed]
  assert.ok(formatVerdict(verdict(checks, true), { color: true })[0]?.startsWith('\x1b[1;97;41mSIMULATED'))
  assert.ok(!formatVerdict(verdict(checks, true), { color: false }).join('').includes('\x1b'))
})

test("the peer's words cannot write control characters or long lines", () => {
  const { got } = judge('binding.evidence-type', false, 'snp', `\x1b[2J\n${'x'.repeat(1000)}`)
  assert.equal(got.length, 128)
  assert.match(got, /^\?\[2J\?x+\.\.\.$/)
})

test('the specification lists every check, with the tiers that it may have', () => {
  const spec = readFileSync(resolve(import.meta.dirname, '../../../../spec/ATTESTATION.md'), 'utf8')
  const rows = [...spec.matchAll(/^\| `([a-z-]+\.[a-z-]+)` \|.*\| ([a-z /]+) \|$/gm)]
  const listed = rows.map(([, code, tiers]) => [code, tiers?.startsWith('warning')])
  assert.deepEqual(
    listed,
    CHECK_CODES.map((code) => [code, isWarningCode(code)]),
  )
})
