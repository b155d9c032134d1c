/** Simulated evidence before the genuine verifier: what is accepted, and each attack on the binding. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { appraise, type ExpectedStatement } from '@trusted-pods/protocol/attestation/appraise.ts'
import { type Policy, parsePolicy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { SIMULATION_MEASUREMENT } from '@trusted-pods/protocol/attestation/snp/product.ts'
import { reportData } from '@trusted-pods/protocol/attestation/statement.ts'
import { formatVerdict, isAccepted, type Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { fromHex, sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import { type Evidence, EvidenceSchema, StatementSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { parse } from 'yaml'
import { makeDevelopmentRoot } from './development-root.ts'
import { openSimulatedAttester, type SimulatedAttester } from './simulated.ts'
import { makeSimulatedReport } from './simulated-report.ts'

const NOW = new Date('2027-01-15T12:00:00Z')
const nonce = new Uint8Array(32).fill(7)
const publisherPeerId = new Uint8Array(38).fill(1)
const providerPeerId = new Uint8Array(38).fill(2)
const expected: ExpectedStatement = { nonce, publisherPeerId, providerPeerId }

let stateDir: string
let attester: SimulatedAttester
let policy: Policy

before(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'tp-attester-'))
  attester = await openSimulatedAttester({ stateDir, clock: () => NOW })
  policy = examplePolicy(attester.rootFingerprint)
})

after(() => rmSync(stateDir, { recursive: true }))

function examplePolicy(rootFingerprint: string): Policy {
  const path = resolve(import.meta.dirname, '../../../../examples/policy-simulated.yml')
  return parsePolicy({ ...parse(readFileSync(path, 'utf8')), simulatedRoots: [rootFingerprint] })
}

interface Changes {
  nonce?: Uint8Array
  publisherPeerId?: Uint8Array
  providerPeerId?: Uint8Array
  evidenceType?: string
}

/** Evidence as an honest provider makes it, over a statement with the given fields. */
async function makeEvidence(changes: Changes = {}): Promise<Evidence> {
  const capacityResponse = new TextEncoder().encode('capacity')
  const claims = new TextEncoder().encode('{"engine":"docker"}')
  const statement = create(StatementSchema, {
    nonce,
    publisherPeerId,
    providerPeerId,
    hpkePublicKey: new Uint8Array(32).fill(3),
    meterAddress: new Uint8Array(20).fill(4),
    evidenceType: 'snp',
    capacityDigest: await sha256(capacityResponse),
    claimsDigest: await sha256(claims),
    ...changes,
  })
  const quote = await attester.quote(await reportData(statement))
  return create(EvidenceSchema, { statement, ...quote, capacityResponse, claims })
}

function refusals(verdict: Verdict): string[] {
  return verdict.checks.filter(({ tier }) => tier === 'contraindicated').map(({ code }) => code)
}

async function judge(evidence: Evidence, options: { policy?: Policy; expected?: ExpectedStatement } = {}) {
  return await appraise(evidence, { policy, expected, now: NOW, ...options })
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

test('replay: evidence over an old nonce is refused', async () => {
  const verdict = await judge(await makeEvidence({ nonce: new Uint8Array(32).fill(9) }))
  assert.deepEqual(refusals(verdict), ['binding.nonce'])
  assert.equal(isAccepted(verdict, policy), false)
})

test('replay: old evidence with our nonce written over it is refused', async () => {
  const evidence = await makeEvidence({ nonce: new Uint8Array(32).fill(9) })
  assert.ok(evidence.statement)
  evidence.statement.nonce = nonce
  assert.deepEqual(refusals(await judge(evidence)), ['binding.report-data'])
})

test('relay: evidence of an honest machine behind a dishonest host is refused', async () => {
  const verdict = await judge(await makeEvidence({ providerPeerId: new Uint8Array(38).fill(5) }))
  assert.deepEqual(refusals(verdict), ['binding.provider'])
})

test('evidence made for another client is refused', async () => {
  const verdict = await judge(await makeEvidence({ publisherPeerId: new Uint8Array(38).fill(6) }))
  assert.deepEqual(refusals(verdict), ['binding.publisher'])
})

test("another provider's statement beside our report is refused", async () => {
  const evidence = await makeEvidence()
  const other = await makeEvidence({ providerPeerId: new Uint8Array(38).fill(5) })
  assert.deepEqual(refusals(await judge(create(EvidenceSchema, { ...evidence, statement: other.statement }))), [
    'binding.provider',
    'binding.report-data',
  ])
})

test('an HPKE key, meter address, capacity response or claims put in later are refused', async () => {
  const evidence = await makeEvidence()
  const { statement } = evidence
  assert.ok(statement)
  const other = new Uint8Array(32).fill(8)
  const change = (changes: object) => create(EvidenceSchema, { ...evidence, ...changes })
  const keyed = change({ statement: { ...statement, hpkePublicKey: other } })
  const metered = change({ statement: { ...statement, meterAddress: other.subarray(12) } })
  assert.deepEqual(refusals(await judge(keyed)), ['binding.report-data'])
  assert.deepEqual(refusals(await judge(metered)), ['binding.report-data'])
  assert.deepEqual(refusals(await judge(change({ capacityResponse: other }))), ['binding.capacity'])
  assert.deepEqual(refusals(await judge(change({ claims: other }))), ['binding.claims'])
})

test('downgrade: an evidence type that the policy does not list, that nobody knows, or that is not that of the report, is refused', async () => {
  const onlySnp: Policy = { ...policy, evidence: ['snp'] }
  const unlisted = await judge(await makeEvidence({ evidenceType: 'tdx' }), { policy: onlySnp })
  assert.equal(refusals(unlisted)[0], 'binding.evidence-type')
  const unknown = await judge(await makeEvidence({ evidenceType: 'none\x1b[2J' }))
  assert.deepEqual(refusals(unknown), ['binding.evidence-type', 'format.unsupported'])
  assert.equal(unknown.evidenceType, 'unknown')
  assert.ok(!formatVerdict(unknown, { color: false }).join('').includes('\x1b'))
  const listed = await judge(await makeEvidence({ evidenceType: 'tdx' }), { policy: { ...policy, evidence: ['tdx'] } })
  assert.deepEqual(refusals(listed).slice(0, 3), ['format.algorithm', 'format.tee-type', 'format.collateral'])
})

test('a type renamed after the report was made is refused', async () => {
  const evidence = await makeEvidence({ evidenceType: 'tdx' })
  assert.ok(evidence.statement)
  evidence.statement.evidenceType = 'snp'
  assert.deepEqual(refusals(await judge(evidence)), ['binding.report-data'])
})

test('the strict policy refuses simulated evidence before and at the root', async () => {
  const verdict = await judge(await makeEvidence(), { policy: STRICT_POLICY })
  const codes = refusals(verdict)
  for (const code of ['chain.untrusted-root', 'chain.extension', 'trust.simulated'])
    assert.ok(codes.includes(code as never))
  assert.equal(verdict.simulated, true)
  assert.equal(isAccepted(verdict, STRICT_POLICY), false)
})

test('simulated evidence needs the root, the allow word and require: warning, each of them', async () => {
  const evidence = await makeEvidence()
  const without = [
    { ...policy, simulatedRoots: [] },
    { ...policy, simulatedRoots: ['ab'.repeat(32)] },
    { ...policy, allow: [] },
    { ...policy, require: 'affirming' as const, allow: [] },
  ]
  for (const lacking of without) assert.equal(isAccepted(await judge(evidence, { policy: lacking }), lacking), false)
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
  const named = await judge(evidence, { policy: examplePolicy(rootFingerprint) })
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

test('evidence that took longer than the nonce lives is refused', async () => {
  const evidence = await makeEvidence()
  const late = await appraise(evidence, { policy, expected, now: NOW, elapsedMs: 60_001 })
  assert.deepEqual(refusals(late), ['binding.stale'])
  assert.ok(isAccepted(await appraise(evidence, { policy, expected, now: NOW, elapsedMs: 60_000 }), policy))
})

test('after seven years the endorsement has expired', async () => {
  const verdict = await appraise(await makeEvidence(), { policy, expected, now: new Date('2034-02-01T00:00:00Z') })
  assert.deepEqual(refusals(verdict), ['chain.expired', 'chain.revocation-stale'])
})
