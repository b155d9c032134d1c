/** Simulated evidence before the genuine verifier. Attacks on its binding: test/attestation/attacks.test.ts. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { appraise, type ExpectedStatement } from '@trusted-pods/protocol/attestation/appraise.ts'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { SIMULATION_MEASUREMENT } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { reportData } from '@trusted-pods/protocol/attestation/statement.ts'
import { formatVerdict, isAccepted } from '@trusted-pods/protocol/attestation/verdict.ts'
import { fromHex, sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import type { Evidence } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import {
  EXPECTED,
  judge as judgeEvidence,
  NOW,
  openSimulatedMachine,
  refusals,
  type SimulatedMachine,
  simulatedPolicy,
} from '../../../../test/support/simulated-evidence.ts'
import { makeDevelopmentRoot } from './development-root.ts'
import { openSimulatedAttester, type SimulatedAttester } from './simulated.ts'
import { makeSimulatedReport } from './simulated-report.ts'

const expected = EXPECTED

let machine: SimulatedMachine
let stateDir: string
let attester: SimulatedAttester
let policy: Policy

before(async () => {
  machine = await openSimulatedMachine()
  ;({ stateDir, attester, policy } = machine)
})

after(() => machine[Symbol.dispose]())

const makeEvidence = () => machine.evidence()

function judge(evidence: Evidence, options: { policy?: Policy; expected?: ExpectedStatement } = {}) {
  return judgeEvidence(evidence, { policy, ...options })
}

test('a policy that names the root accepts simulated evidence, and the only warning is trust.simulated', async () => {
  const verdict = await judge(await makeEvidence())
  assert.equal(verdict.tier, 'warning')
  assert.deepEqual(
    verdict.checks.filter(({ tier }) => tier !== 'affirming').map(({ code }) => code),
    ['trust.simulated'],
  )
  assert.ok(isAccepted(verdict, policy))
  assert.equal(verdict.simulated, true)
  assert.equal(verdict.platformId, toHex(attester.platformId))
  assert.equal(verdict.expiresAt.toISOString(), '2027-01-15T13:00:00.000Z')
  assert.equal(formatVerdict(verdict, { color: false })[0], 'SIMULATED - NOT CONFIDENTIAL')
})

test('a verdict survives JSON with its dates as ISO text', async () => {
  const verdict = await judge(await makeEvidence())
  const copy = JSON.parse(JSON.stringify(verdict))
  assert.deepEqual(copy, {
    ...verdict,
    verifiedAt: verdict.verifiedAt.toISOString(),
    expiresAt: verdict.expiresAt.toISOString(),
  })
})

test('the attester comes back with the same root and chip, its state unreadable to others', async () => {
  const again = await openSimulatedAttester({ stateDir, clock: () => NOW })
  assert.equal(again.rootFingerprint, attester.rootFingerprint)
  assert.deepEqual(again.platformId, attester.platformId)
  const path = join(stateDir, 'simulated-attester.json')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  await chmod(path, 0o644)
  await assert.rejects(openSimulatedAttester({ stateDir, clock: () => NOW }), { code: 'PLATFORM_STATE' })
  await chmod(path, 0o600)
})

test('another X.509 implementation reads the chain and verifies it', async () => {
  const { certificates } = await makeEvidence()
  const [leaf, intermediate, root] = certificates.map((der) => new X509Certificate(der))
  assert.ok(leaf && intermediate && root)
  assert.ok(leaf.verify(intermediate.publicKey) && leaf.checkIssued(intermediate))
  assert.ok(intermediate.verify(root.publicKey) && intermediate.checkIssued(root))
  assert.ok(root.verify(root.publicKey) && root.ca && intermediate.ca && !leaf.ca)
  assert.equal(
    new X509Certificate(attester.rootPem).fingerprint256.replaceAll(':', '').toLowerCase(),
    attester.rootFingerprint,
  )
})

test('the simulated measurement is the hash that the specification says', async () => {
  const text = new TextEncoder().encode('Trusted Pods SIMULATION: nothing is measured')
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-384', text))
  assert.deepEqual(digest, fromHex(SIMULATION_MEASUREMENT))
})

test('report data of another length is refused with ATTEST_UNAVAILABLE', async () => {
  await assert.rejects(attester.quote(new Uint8Array(63)), { code: 'ATTEST_UNAVAILABLE' })
})

test('an aborted quote is not made', async () => {
  await assert.rejects(attester.quote(new Uint8Array(64), { signal: AbortSignal.abort() }), { name: 'AbortError' })
})

test('a development root renamed ARK-Milan with AMD names is refused, though the policy names it', async () => {
  const names = {
    organization: 'Advanced Micro Devices',
    root: 'ARK-Milan',
    intermediate: 'SEV-Milan',
    leaf: 'SEV-VCEK',
  }
  const forged = await makeDevelopmentRoot(names, { now: NOW })
  const evidence = await makeEvidence()
  assert.ok(evidence.statement)
  evidence.certificates = forged.certificates
  evidence.report = await makeSimulatedReport({
    ...forged,
    reportData: await reportData(evidence.statement),
    reportId: new Uint8Array(32),
  })
  assert.ok(refusals(await judge(evidence)).includes('chain.untrusted-root'))
  const rootDer = forged.certificates[2]
  assert.ok(rootDer)
  const rootFingerprint = Buffer.from(await sha256(rootDer)).toString('hex')
  const named = await judge(evidence, { policy: simulatedPolicy(rootFingerprint) })
  assert.ok(refusals(named).includes('chain.names'))
  assert.equal(named.simulated, true)
})

test('a simulated report that claims a processor is refused', async () => {
  const evidence = await makeEvidence()
  evidence.report[0x188] = 0x19
  assert.deepEqual(refusals(await judge(evidence)), ['chain.product-mismatch', 'signature.invalid'])
})

test('another measurement than the named one is refused', async () => {
  const verdict = await judge(await makeEvidence(), { policy: { ...policy, measurements: [] } })
  assert.deepEqual(refusals(verdict), ['measurement.unknown', 'measurement.host-data'])
})

test('a pinned platform is compared with the list or the registry record', async () => {
  const evidence = await makeEvidence()
  const chipId = attester.platformId
  const listed: Policy = { ...policy, platform: { pinning: 'list', ids: [toHex(attester.platformId)] } }
  const unlisted: Policy = { ...policy, platform: { pinning: 'list', ids: [] } }
  const registry: Policy = { ...policy, platform: { pinning: 'registry' } }
  assert.ok(isAccepted(await judge(evidence, { policy: listed }), listed))
  assert.deepEqual(refusals(await judge(evidence, { policy: unlisted })), ['platform.unpinned'])
  assert.deepEqual(refusals(await judge(evidence, { policy: registry })), ['platform.unpinned'])
  const known = { ...expected, platformIds: [chipId] }
  assert.ok(isAccepted(await judge(evidence, { policy: registry, expected: known }), registry))
})

test('after seven years the endorsement has expired', async () => {
  const verdict = await appraise(await makeEvidence(), { policy, expected, now: new Date('2034-02-01T00:00:00Z') })
  assert.deepEqual(refusals(verdict), ['chain.expired', 'chain.revocation-stale'])
})
