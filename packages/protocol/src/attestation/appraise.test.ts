/** What the verifier says of evidence that no hardware is needed for; attacks with simulated hardware are in provider/src/attester. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { sha256 } from '../bytes.ts'
import { type Evidence, EvidenceSchema, StatementSchema } from '../gen/trustedpods/v0/attest_pb.ts'
import { appraise } from './appraise.ts'
import { STRICT_POLICY } from './policy.ts'
import { isAccepted, type Verdict } from './verdict.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const expected = {
  nonce: new Uint8Array(32).fill(7),
  publisherPeerId: new Uint8Array(38).fill(1),
  providerPeerId: new Uint8Array(38).fill(2),
}
const EMPTY_DIGEST = await sha256(new Uint8Array())

function evidenceOf(
  evidenceType: string,
  parts: { report?: Uint8Array; certificates?: Uint8Array[]; crls?: Uint8Array[] },
) {
  const statement = create(StatementSchema, {
    ...expected,
    hpkePublicKey: new Uint8Array(32).fill(3),
    meterAddress: new Uint8Array(20).fill(4),
    evidenceType,
    capacityDigest: EMPTY_DIGEST,
    claimsDigest: EMPTY_DIGEST,
  })
  return create(EvidenceSchema, { statement, ...parts })
}

async function judge(evidence: Evidence, policy = STRICT_POLICY): Promise<Verdict> {
  return await appraise(evidence, { policy, now: NOW, expected })
}

function refusals(verdict: Verdict): string[] {
  return verdict.checks.filter(({ tier }) => tier === 'contraindicated').map(({ code }) => code)
}

test('empty evidence of type tdx is refused, and what could not be examined is listed', async () => {
  const verdict = await judge(evidenceOf('tdx', {}))
  assert.deepEqual(refusals(verdict), ['format.length', 'format.collateral', 'platform.unpinned'])
  assert.ok(verdict.checks.some(({ code, tier }) => code === 'signature.invalid' && tier === 'none'))
  assert.equal(verdict.evidenceType, 'tdx')
})

test('a type without a verifier is refused with format.unsupported', async () => {
  assert.deepEqual(refusals(await judge(evidenceOf('sgx', {}))), ['binding.evidence-type', 'format.unsupported'])
})

test('empty evidence is refused, and what could not be examined is listed', async () => {
  const verdict = await judge(create(EvidenceSchema, {}))
  assert.deepEqual(refusals(verdict).slice(0, 4), [
    'format.statement',
    'binding.evidence-type',
    'binding.nonce',
    'binding.publisher',
  ])
  const bare = await judge(evidenceOf('snp', {}))
  assert.deepEqual(refusals(bare), ['format.length', 'format.certificates', 'platform.unpinned'])
  assert.ok(bare.checks.some(({ code, tier }) => code === 'signature.invalid' && tier === 'none'))
  assert.equal(bare.expiresAt, NOW)
})

test('each check is there once', async () => {
  const { checks } = await judge(evidenceOf('snp', { report: new Uint8Array(1184) }))
  assert.equal(new Set(checks.map(({ code }) => code)).size, checks.length)
  assert.ok(checks.length > 40)
})

test('evidence beyond a limit is refused before it is read', async () => {
  const large = [
    evidenceOf('snp', { report: new Uint8Array(65_537) }),
    evidenceOf('snp', { certificates: Array.from({ length: 9 }, () => new Uint8Array(1)) }),
    evidenceOf('snp', { certificates: [new Uint8Array(8193)] }),
    evidenceOf('snp', { crls: Array.from({ length: 5 }, () => new Uint8Array(1)) }),
    evidenceOf('snp', { crls: [new Uint8Array(262_145)] }),
    evidenceOf('x'.repeat(129), {}),
    create(EvidenceSchema, { claims: new Uint8Array(16_385) }),
    create(EvidenceSchema, { capacityResponse: new Uint8Array(65_537) }),
    create(EvidenceSchema, { collateral: Array.from({ length: 5 }, () => ({})) }),
    create(EvidenceSchema, { collateral: [{ body: new Uint8Array(65_537) }] }),
    create(EvidenceSchema, { collateral: [{ signature: new Uint8Array(65) }] }),
    create(EvidenceSchema, { collateral: [{ certificates: [new Uint8Array(8193)] }] }),
    create(EvidenceSchema, { collateral: [{ certificates: Array.from({ length: 5 }, () => new Uint8Array(1)) }] }),
    create(EvidenceSchema, { collateral: [{ kind: 'x'.repeat(129) }] }),
    create(EvidenceSchema, { eventLog: { log: new Uint8Array(131_073) } }),
  ]
  for (const evidence of large) assert.deepEqual(refusals(await judge(evidence)), ['format.size'])
})

test('a statement with a field of another length is refused', async () => {
  const evidence = evidenceOf('snp', {})
  assert.ok(evidence.statement)
  evidence.statement.hpkePublicKey = new Uint8Array(31)
  assert.ok(refusals(await judge(evidence)).includes('format.statement'))
})

test('an expectation with nothing in it matches nothing', async () => {
  const evidence = evidenceOf('snp', {})
  assert.ok(evidence.statement)
  evidence.statement.nonce = new Uint8Array()
  const blank = { ...expected, nonce: new Uint8Array() }
  const verdict = await appraise(evidence, { policy: STRICT_POLICY, now: NOW, expected: blank })
  assert.ok(refusals(verdict).includes('binding.nonce'))
})

test('any bytes get a verdict that is refused', async () => {
  const bytes = fc.uint8Array({ maxLength: 1500 })
  const part = fc.record({ report: bytes, certificates: fc.array(bytes, { maxLength: 4 }), crls: fc.array(bytes) })
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('snp', 'tdx', ''), part, async (type, parts) => {
      assert.equal(isAccepted(await judge(evidenceOf(type, parts)), STRICT_POLICY), false)
    }),
  )
})
