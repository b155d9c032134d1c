/** Simulated TDX evidence before the genuine verifier: what is accepted, and what no policy takes. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { appraise, type ExpectedStatement } from '@trusted-pods/protocol/attestation/appraise.ts'
import { type Policy, parsePolicy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { reportData } from '@trusted-pods/protocol/attestation/statement.ts'
import { readPemCertificates } from '@trusted-pods/protocol/attestation/tdx/pem.ts'
import { parseTdxQuote } from '@trusted-pods/protocol/attestation/tdx/quote.ts'
import { tdxNames } from '@trusted-pods/protocol/attestation/tdx/roots.ts'
import { formatVerdict, isAccepted, type Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { sha256, toHex } from '@trusted-pods/protocol/bytes.ts'
import { type Evidence, EvidenceSchema, StatementSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { parse } from 'yaml'
import type { Attester } from './attester.ts'
import { makeDevelopmentTdxRoot } from './development-tdx-root.ts'
import { openAttester } from './open-attester.ts'
import type { SimulatedAttester } from './simulated.ts'
import { openSimulatedTdxAttester, quoteTdx } from './simulated-tdx.ts'

const NOW = new Date('2027-01-15T12:00:00Z')
const expected: ExpectedStatement = {
  nonce: new Uint8Array(32).fill(7),
  publisherPeerId: new Uint8Array(38).fill(1),
  providerPeerId: new Uint8Array(38).fill(2),
}

let stateDir: string
let attester: SimulatedAttester
let policy: Policy

before(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'tp-tdx-'))
  attester = await openSimulatedTdxAttester({ stateDir, clock: () => NOW })
  policy = examplePolicy(attester.rootFingerprint)
})

after(() => rmSync(stateDir, { recursive: true }))

function examplePolicy(rootFingerprint: string): Policy {
  const path = resolve(import.meta.dirname, '../../../../examples/policy-simulated.yml')
  return parsePolicy({ ...parse(readFileSync(path, 'utf8')), simulatedRoots: [rootFingerprint] })
}

/** Evidence as an honest provider makes it. */
async function makeEvidence(quote: Attester['quote'] = attester.quote): Promise<Evidence> {
  const empty = await sha256(new Uint8Array())
  const statement = create(StatementSchema, {
    ...expected,
    hpkePublicKey: new Uint8Array(32).fill(3),
    meterAddress: new Uint8Array(20).fill(4),
    evidenceType: 'tdx',
    capacityDigest: empty,
    claimsDigest: empty,
  })
  return create(EvidenceSchema, { statement, ...(await quote(await reportData(statement))) })
}

function refusals(verdict: Verdict): string[] {
  return verdict.checks.filter(({ tier }) => tier === 'contraindicated').map(({ code }) => code)
}

async function judge(evidence: Evidence, options: { policy?: Policy; now?: Date; expected?: ExpectedStatement } = {}) {
  return await appraise(evidence, { policy, expected, now: NOW, ...options })
}

test('a policy that names the root accepts simulated TDX evidence, and the only warning is trust.simulated', async () => {
  const verdict = await judge(await makeEvidence())
  assert.deepEqual(
    verdict.checks.filter(({ tier }) => tier !== 'affirming').map(({ code, tier }) => [code, tier]),
    [['trust.simulated', 'warning']],
  )
  assert.equal(verdict.tier, 'warning')
  assert.ok(isAccepted(verdict, policy))
  assert.equal(verdict.simulated, true)
  assert.equal(verdict.platformId, toHex(attester.platformId))
  assert.equal(verdict.tcb?.status, 'UpToDate')
  assert.equal(formatVerdict(verdict, { color: false })[0], 'SIMULATED - NOT CONFIDENTIAL')
})

test("the configuration opens it by its name, with the installation's root", async () => {
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  await using opened = await openAttester('simulated-tdx', { stateDir, log })
  assert.equal(opened.evidenceType, 'tdx')
  assert.equal(opened.rootFingerprint, attester.rootFingerprint)
})

test('simulated TDX evidence needs the root, the allow word and require: warning, each of them', async () => {
  const evidence = await makeEvidence()
  const without = [
    { ...policy, simulatedRoots: [] },
    { ...policy, simulatedRoots: ['ab'.repeat(32)] },
    { ...policy, allow: [] },
    { ...policy, require: 'affirming' as const, allow: [] },
    { ...policy, evidence: ['snp' as const] },
  ]
  for (const lacking of without) assert.equal(isAccepted(await judge(evidence, { policy: lacking }), lacking), false)
})

test('the strict policy refuses it at the root, by its mark, and by its names', async () => {
  const verdict = await judge(await makeEvidence(), { policy: STRICT_POLICY })
  const codes: string[] = refusals(verdict)
  for (const code of ['chain.untrusted-root', 'chain.extension', 'chain.names', 'chain.purpose', 'trust.simulated']) {
    assert.ok(codes.includes(code), code)
  }
  assert.equal(verdict.simulated, true)
  assert.equal(isAccepted(verdict, STRICT_POLICY), false)
})

test("a development root with Intel's names is refused, though the policy names it", async () => {
  const forged = await makeDevelopmentTdxRoot(tdxNames('Intel'), { now: NOW })
  const evidence = await makeEvidence(quoteTdx(forged, () => NOW))
  assert.ok(refusals(await judge(evidence)).includes('chain.untrusted-root'))
  const named = await judge(evidence, { policy: examplePolicy(toHex(await sha256(forged.certificates.root))) })
  assert.ok(refusals(named).includes('chain.names'))
  assert.equal(named.simulated, true)
})

test('another installation is another root and another platform', async () => {
  const other = mkdtempSync(join(tmpdir(), 'tp-tdx-'))
  const { quote, platformId } = await openSimulatedTdxAttester({ stateDir: other, clock: () => NOW })
  assert.notDeepEqual(platformId, attester.platformId)
  assert.ok(refusals(await judge(await makeEvidence(quote))).includes('chain.untrusted-root'))
  rmSync(other, { recursive: true })
})

test('the attester comes back with the same root, its state unreadable to others and refused when broken', async () => {
  const again = await openSimulatedTdxAttester({ stateDir, clock: () => NOW })
  assert.equal(again.rootFingerprint, attester.rootFingerprint)
  assert.deepEqual(again.platformId, attester.platformId)
  assert.ok(isAccepted(await judge(await makeEvidence(again.quote)), policy))
  const path = join(stateDir, 'simulated-tdx-attester.json')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  const state = readFileSync(path)
  for (const broken of ['', '{}', '{"keys":{}}']) {
    writeFileSync(path, broken)
    await assert.rejects(openSimulatedTdxAttester({ stateDir, clock: () => NOW }), { code: 'PLATFORM_STATE' })
  }
  writeFileSync(path, state)
})

test('another X.509 implementation reads the chain and verifies it', async () => {
  const { quote } = parseTdxQuote((await makeEvidence()).report)
  assert.ok(quote)
  const [leaf, ca, root] = readPemCertificates(quote.pckChain).map((der) => new X509Certificate(der))
  assert.ok(leaf && ca && root)
  assert.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca) && !leaf.ca)
  assert.ok(ca.verify(root.publicKey) && ca.checkIssued(root) && ca.ca)
  assert.ok(root.verify(root.publicKey) && root.ca)
})

test('report data of another length, and an aborted quote, are refused', async () => {
  await assert.rejects(attester.quote(new Uint8Array(63)), { code: 'ATTEST_UNAVAILABLE' })
  await assert.rejects(attester.quote(new Uint8Array(64), { signal: AbortSignal.abort() }), { name: 'AbortError' })
})

test('replay, relay and a key put in later are refused', async () => {
  const evidence = await makeEvidence()
  const other = new Uint8Array(38).fill(9)
  const replayed = await judge(evidence, { expected: { ...expected, nonce: new Uint8Array(32).fill(9) } })
  assert.deepEqual(refusals(replayed), ['binding.nonce'])
  assert.deepEqual(refusals(await judge(evidence, { expected: { ...expected, providerPeerId: other } })), [
    'binding.provider',
  ])
  assert.ok(evidence.statement)
  evidence.statement.hpkePublicKey = new Uint8Array(32).fill(9)
  assert.deepEqual(refusals(await judge(evidence)), ['binding.report-data'])
})

test('collateral of an older evidence ends with its dates', async () => {
  const evidence = await makeEvidence()
  const late = await judge(evidence, { now: new Date('2027-02-15T12:00:00Z') })
  assert.deepEqual(refusals(late), ['chain.revocation-stale', 'collateral.expired'])
})

test('another measurement than the named one is refused', async () => {
  const verdict = await judge(await makeEvidence(), { policy: { ...policy, measurements: [] } })
  assert.deepEqual(refusals(verdict), [
    'measurement.unknown',
    'measurement.rtmr',
    'measurement.config-id',
    'measurement.owner',
  ])
})

test('a pinned platform is compared with the list', async () => {
  const evidence = await makeEvidence()
  const listed: Policy = { ...policy, platform: { pinning: 'list', ids: [toHex(attester.platformId)] } }
  assert.ok(isAccepted(await judge(evidence, { policy: listed }), listed))
  const registry: Policy = { ...policy, platform: { pinning: 'registry' } }
  assert.deepEqual(refusals(await judge(evidence, { policy: registry })), ['platform.unpinned'])
  const known = { ...expected, platformIds: [attester.platformId] }
  assert.ok(isAccepted(await judge(evidence, { policy: registry, expected: known }), registry))
})

test('a quote or collateral cut at any length is refused without an exception', async () => {
  const evidence = await makeEvidence()
  const { report, crls } = evidence
  for (let length = 0; length < report.length; length += 7) {
    const verdict = await judge(create(EvidenceSchema, { ...evidence, report: report.subarray(0, length) }))
    assert.equal(verdict.tier, 'contraindicated', `report cut to ${length}`)
  }
  for (const [i, piece] of evidence.collateral.entries()) {
    for (let length = 0; length < piece.body.length; length += 3) {
      const cut = evidence.collateral.with(i, { ...piece, body: piece.body.subarray(0, length) })
      assert.equal((await judge(create(EvidenceSchema, { ...evidence, collateral: cut }))).tier, 'contraindicated')
    }
  }
  for (const [i, crl] of crls.entries()) {
    for (let length = 0; length < crl.length; length += 3) {
      const cut = crls.with(i, crl.subarray(0, length))
      assert.equal((await judge(create(EvidenceSchema, { ...evidence, crls: cut }))).tier, 'contraindicated')
    }
  }
})
