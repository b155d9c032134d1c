/** Evidence from a hostile peer: cut anywhere, changed anywhere. The verifier answers each with a refusal, never with an exception. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { type Policy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { SIMULATION_MEASUREMENT } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { reportData } from '@trusted-pods/protocol/attestation/statement.ts'
import { isAccepted } from '@trusted-pods/protocol/attestation/verdict.ts'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { type Evidence, EvidenceSchema, StatementSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { openSimulatedAttester } from './simulated.ts'

const NOW = new Date('2027-01-15T12:00:00Z')
const expected = {
  nonce: new Uint8Array(32).fill(7),
  publisherPeerId: new Uint8Array(38).fill(1),
  providerPeerId: new Uint8Array(38).fill(2),
}

let stateDir: string
let evidence: Evidence
let policy: Policy

before(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'tp-hostile-'))
  const attester = await openSimulatedAttester({ stateDir, clock: () => NOW })
  const empty = await sha256(new Uint8Array())
  const statement = create(StatementSchema, {
    ...expected,
    hpkePublicKey: new Uint8Array(32).fill(3),
    meterAddress: new Uint8Array(20).fill(4),
    evidenceType: 'snp',
    capacityDigest: empty,
    claimsDigest: empty,
  })
  evidence = create(EvidenceSchema, { statement, ...(await attester.quote(await reportData(statement))) })
  policy = {
    ...STRICT_POLICY,
    require: 'warning',
    allow: ['trust.simulated'],
    simulatedRoots: [attester.rootFingerprint],
    platform: { pinning: 'none' },
    measurements: [{ name: 'simulated', snp: { launch: [SIMULATION_MEASUREMENT], hostData: ['00'.repeat(32)] } }],
  }
})

after(() => rmSync(stateDir, { recursive: true }))

async function judge(changed: Evidence) {
  return await appraise(changed, { policy, expected, now: NOW })
}

test('the evidence is accepted as it is', async () => {
  assert.ok(isAccepted(await judge(evidence), policy))
})

test('evidence cut at any length is refused without an exception', async () => {
  const fields = ['report', 'certificates', 'crls'] as const
  for (const field of fields) {
    const whole = field === 'report' ? evidence.report : evidence[field][0]
    assert.ok(whole)
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.subarray(0, length)
      const changed = field === 'report' ? cut : [cut, ...evidence[field].slice(1)]
      const verdict = await judge(create(EvidenceSchema, { ...evidence, [field]: changed }))
      assert.equal(verdict.tier, 'contraindicated', `${field} cut to ${length}`)
    }
  }
})

test('2,000 random mutations never raise an exception and are never accepted', async () => {
  const random = xorshift(0x9e3779b9)
  for (let i = 0; i < 2000; i++) {
    const changed = mutate(evidence, random)
    const verdict = await judge(changed)
    assert.equal(verdict.tier, 'contraindicated', `mutation ${i}`)
  }
})

/** One to four bytes of the report, a certificate, a list or the statement, each set to another value. */
function mutate(original: Evidence, random: (below: number) => number): Evidence {
  const copy = structuredClone(original)
  assert.ok(copy.statement)
  const { nonce: n, publisherPeerId: a, providerPeerId: b, hpkePublicKey, meterAddress } = copy.statement
  const parts = [copy.report, ...copy.certificates, ...copy.crls, n, a, b, hpkePublicKey, meterAddress]
  const part = parts[random(parts.length)]
  assert.ok(part)
  const offsets = new Set(Array.from({ length: 1 + random(4) }, () => random(part.length)))
  for (const at of offsets) part[at] = (part[at] ?? 0) ^ (1 + random(255))
  return copy
}

function xorshift(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
