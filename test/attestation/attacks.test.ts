/** One test per attack on the binding of evidence (spec/ATTESTATION.md#binding), played by real attesters against the verifier. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { type Policy, STRICT_POLICY } from '@trusted-pods/protocol/attestation/policy.ts'
import { reportData, sessionId } from '@trusted-pods/protocol/attestation/statement.ts'
import { formatVerdict, isAccepted } from '@trusted-pods/protocol/attestation/verdict.ts'
import { concatBytes } from '@trusted-pods/protocol/bytes.ts'
import { type Evidence, EvidenceSchema, type Statement } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { generateHpkeKey, sealPod, unsealPod } from '@trusted-pods/protocol/wire/seal.ts'
import { SessionTable } from '@trusted-pods/provider/session.ts'
import { startNodePair } from '../support/nodes.ts'
import {
  EXPECTED,
  judge,
  NOW,
  openSimulatedMachine,
  refusals,
  type SimulatedMachine,
  simulatedPolicy,
} from '../support/simulated-evidence.ts'

let machine: SimulatedMachine
/** The same software on another machine. */
let other: SimulatedMachine
let policy: Policy

before(async () => {
  machine = await openSimulatedMachine()
  other = await openSimulatedMachine()
  policy = simulatedPolicy(machine.attester.rootFingerprint, other.attester.rootFingerprint)
})
after(() => {
  machine[Symbol.dispose]()
  other[Symbol.dispose]()
})

async function refusalsOf(evidence: Evidence): Promise<string[]> {
  const verdict = await judge(evidence, { policy })
  assert.equal(isAccepted(verdict, policy), false)
  return refusals(verdict)
}

function statementOf({ statement }: Evidence): Statement {
  return statement ?? assert.fail('no statement')
}

const changed = (evidence: Evidence, changes: object) => create(EvidenceSchema, { ...evidence, ...changes })

test('without an attack the evidence of either machine is accepted', async () => {
  for (const { evidence } of [machine, other]) assert.ok(isAccepted(await judge(await evidence(), { policy }), policy))
})

test('replay: evidence of an earlier exchange is refused, also with our nonce written over it, and so is late evidence', async () => {
  const old = await machine.evidence({ nonce: new Uint8Array(32).fill(9) })
  assert.deepEqual(await refusalsOf(old), ['binding.nonce'])
  const { nonce } = EXPECTED
  assert.deepEqual(await refusalsOf(changed(old, { statement: { ...statementOf(old), nonce } })), [
    'binding.report-data',
  ])
  const evidence = await machine.evidence()
  const after60s = { policy, expected: EXPECTED, now: NOW, elapsedMs: 60_001 }
  assert.deepEqual(refusals(await appraise(evidence, after60s)), ['binding.stale'])
  assert.ok(isAccepted(await appraise(evidence, { ...after60s, elapsedMs: 60_000 }), policy))
})

test('relay: evidence of an honest machine, passed on by a dishonest host, is refused', async () => {
  const honest = await machine.evidence({ providerPeerId: new Uint8Array(38).fill(5) })
  assert.deepEqual(await refusalsOf(honest), ['binding.provider'])
  const { providerPeerId } = EXPECTED
  const renamed = changed(honest, { statement: { ...statementOf(honest), providerPeerId } })
  assert.deepEqual(await refusalsOf(renamed), ['binding.report-data'])
})

test('diversion: another machine with the same software, or a leaked key of one, is refused where the platform is pinned', async () => {
  const diverted = await other.evidence()
  const pinned: Policy = { ...policy, platform: { pinning: 'registry' } }
  const expected = { ...EXPECTED, platformIds: [machine.attester.platformId] }
  assert.deepEqual(refusals(await judge(diverted, { policy: pinned, expected })), ['platform.unpinned'])
  assert.ok(isAccepted(await judge(await machine.evidence(), { policy: pinned, expected }), pinned))
})

test('evidence made for another client is refused', async () => {
  const theirs = await machine.evidence({ publisherPeerId: new Uint8Array(38).fill(6) })
  assert.deepEqual(await refusalsOf(theirs), ['binding.publisher'])
})

test('transport swap: what was sealed after attesting opens with the attested key in that session and on that connection alone', async () => {
  const keyPair = await generateHpkeKey()
  const statement = statementOf(await machine.evidence({ hpkePublicKey: keyPair.publicKey }))
  const session = await sessionId(await reportData(statement))
  const pod = new TextEncoder().encode('a pod with its keys')
  const sealed = await sealPod(pod, { hpkePublicKey: statement.hpkePublicKey, session })
  const refused = { code: 'PROVISION_UNSEALING_FAILED' }
  await assert.rejects(unsealPod(sealed, { keyPair: await generateHpkeKey(), session }), refused)
  await assert.rejects(unsealPod(sealed, { keyPair, session: new Uint8Array(32) }), refused)

  await using pair = await startNodePair()
  const sessions = new SessionTable()
  const attested = pair.connection
  const swapped = await pair.publisher.dial(pair.provider.getMultiaddrs(), { force: true })
  sessions.begin(attested, session)
  assert.throws(() => sessions.require(swapped, session), { code: 'ATTEST_REQUIRED' })
  sessions.require(attested, session)
  assert.deepEqual(await unsealPod(sealed, { keyPair, session }), pod)
})

test('mix and match: report, certificates, statement, claims and capacity of different evidence do not go together', async () => {
  const text = (value: string) => new TextEncoder().encode(value)
  const [ours, theirs] = [await machine.evidence(), await other.evidence()]
  const earlier = await machine.evidence({}, { claims: text('{"engine":"none"}'), capacityResponse: text('free') })
  const { statement, claims, capacityResponse } = earlier
  assert.deepEqual(await refusalsOf(changed(ours, { statement })), [
    'binding.capacity',
    'binding.claims',
    'binding.report-data',
  ])
  assert.deepEqual(await refusalsOf(changed(ours, { claims })), ['binding.claims'])
  assert.deepEqual(await refusalsOf(changed(ours, { capacityResponse })), ['binding.capacity'])
  const foreign = ['chain.chip-id-mismatch', 'signature.invalid']
  assert.deepEqual(await refusalsOf(changed(ours, { certificates: theirs.certificates, crls: theirs.crls })), foreign)
  const mixed = [...ours.certificates.slice(0, 1), ...theirs.certificates.slice(1)]
  assert.ok((await refusalsOf(changed(ours, { certificates: mixed }))).includes('chain.signature'))
})

test('keys and meters put in on the way are refused', async () => {
  const evidence = await machine.evidence()
  const statement = statementOf(evidence)
  const bytes = new Uint8Array(32).fill(8)
  for (const change of [{ hpkePublicKey: bytes }, { meterAddress: bytes.subarray(12) }])
    assert.deepEqual(await refusalsOf(changed(evidence, { statement: { ...statement, ...change } })), [
      'binding.report-data',
    ])
})

test('cross-protocol: report data that the same machine signs for other protocols is none of ours', async () => {
  const statement = statementOf(await machine.evidence())
  const fields = [
    statement.nonce,
    statement.publisherPeerId,
    statement.providerPeerId,
    statement.hpkePublicKey,
    statement.meterAddress,
    new TextEncoder().encode(statement.evidenceType),
    statement.capacityDigest,
    statement.claimsDigest,
  ]
  const sha512 = (...parts: (Uint8Array | string)[]) => {
    const hash = createHash('sha512')
    for (const part of parts) hash.update(part)
    return new Uint8Array(hash.digest())
  }
  const prefixed = fields.map((field) => concatBytes(new Uint8Array([0, 0, 0, field.length]), field))
  assert.deepEqual(sha512('trusted-pods/attest/0.0.1\0', ...prefixed), await reportData(statement))
  const foreign = {
    'no tag': sha512(...prefixed),
    'no lengths': sha512('trusted-pods/attest/0.0.1\0', ...fields),
    "another version's tag": sha512('trusted-pods/attest/0.0.2\0', ...prefixed),
    'the nonce itself': concatBytes(statement.nonce, new Uint8Array(32)),
    'key and nonce, as in aTLS': sha512(statement.hpkePublicKey, statement.nonce),
    'a key of RA-TLS': sha512('ratls-cert:', statement.hpkePublicKey),
    'two keys side by side': concatBytes(statement.hpkePublicKey, statement.hpkePublicKey),
  }
  for (const [what, data] of Object.entries(foreign))
    assert.deepEqual(await refusalsOf(await machine.evidence({}, { reportData: data })), ['binding.report-data'], what)
})

test('downgrade: a type that the policy does not list, that nobody knows, or that the report is not of, is refused', async () => {
  const onlySnp: Policy = { ...policy, evidence: ['snp'] }
  const unlisted = await judge(await machine.evidence({ evidenceType: 'tdx' }), { policy: onlySnp })
  assert.equal(refusals(unlisted)[0], 'binding.evidence-type')
  const unknown = await judge(await machine.evidence({ evidenceType: 'none\x1b[2J' }), { policy })
  assert.deepEqual(refusals(unknown), ['binding.evidence-type', 'format.unsupported'])
  assert.equal(unknown.evidenceType, 'unknown')
  assert.ok(!formatVerdict(unknown, { color: false }).join('').includes('\x1b'))
  const asTdx = await machine.evidence({ evidenceType: 'tdx' })
  assert.deepEqual((await refusalsOf(asTdx)).slice(0, 3), ['format.algorithm', 'format.tee-type', 'format.collateral'])
  const renamed = changed(asTdx, { statement: { ...statementOf(asTdx), evidenceType: 'snp' } })
  assert.deepEqual(await refusalsOf(renamed), ['binding.report-data'])
})

test('simulated as real: refused by a policy for real hardware, and by one that lacks any of the three words for it', async () => {
  const evidence = await machine.evidence()
  const verdict = await judge(evidence, { policy: STRICT_POLICY })
  for (const code of ['chain.untrusted-root', 'chain.extension', 'trust.simulated'])
    assert.ok(refusals(verdict).includes(code), code)
  assert.equal(verdict.simulated, true)
  const lacking: Policy[] = [
    { ...policy, simulatedRoots: [] },
    { ...policy, simulatedRoots: ['ab'.repeat(32)] },
    { ...policy, allow: [] },
    { ...policy, require: 'affirming', allow: [] },
  ]
  for (const without of lacking) assert.equal(isAccepted(await judge(evidence, { policy: without }), without), false)
})
