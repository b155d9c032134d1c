/** Evidence of the simulated attester and the policy that takes it, for tests that change one thing and see what refuses it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { appraise, type ExpectedStatement } from '@trusted-pods/protocol/attestation/appraise.ts'
import { type Policy, parsePolicy } from '@trusted-pods/protocol/attestation/policy.ts'
import { reportData } from '@trusted-pods/protocol/attestation/statement.ts'
import type { Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { type Evidence, EvidenceSchema, StatementSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { openSimulatedAttester, type SimulatedAttester } from '@trusted-pods/provider/attester/simulated.ts'
import { parse } from 'yaml'

export const NOW = new Date('2027-01-15T12:00:00Z')

/** What the verifier knows of its own. */
export const EXPECTED: ExpectedStatement = {
  nonce: new Uint8Array(32).fill(7),
  publisherPeerId: new Uint8Array(38).fill(1),
  providerPeerId: new Uint8Array(38).fill(2),
}

export interface StatementChanges {
  nonce?: Uint8Array
  publisherPeerId?: Uint8Array
  providerPeerId?: Uint8Array
  evidenceType?: string
  hpkePublicKey?: Uint8Array
}

export interface EvidenceContents {
  capacityResponse?: Uint8Array
  claims?: Uint8Array
  /** In place of the statement's hash. */
  reportData?: Uint8Array
}

/** One machine with a development root of its own. */
export interface SimulatedMachine extends Disposable {
  readonly stateDir: string
  readonly attester: SimulatedAttester
  /** examples/policy-simulated.yml with this machine's root. */
  readonly policy: Policy
  /** As an honest provider makes it, over a statement with the given fields. */
  evidence(changes?: StatementChanges, contents?: EvidenceContents): Promise<Evidence>
}

export async function openSimulatedMachine(): Promise<SimulatedMachine> {
  const stateDir = mkdtempSync(join(tmpdir(), 'tp-simulated-'))
  const attester = await openSimulatedAttester({ stateDir, clock: () => NOW })
  return {
    stateDir,
    attester,
    policy: simulatedPolicy(attester.rootFingerprint),
    evidence: (changes = {}, contents = {}) => makeEvidence(attester, changes, contents),
    [Symbol.dispose]: () => rmSync(stateDir, { recursive: true }),
  }
}

export function simulatedPolicy(...rootFingerprints: string[]): Policy {
  const path = resolve(import.meta.dirname, '../../examples/policy-simulated.yml')
  return parsePolicy({ ...parse(readFileSync(path, 'utf8')), simulatedRoots: rootFingerprints })
}

async function makeEvidence(
  attester: SimulatedAttester,
  changes: StatementChanges,
  contents: EvidenceContents,
): Promise<Evidence> {
  const text = (value: string) => new TextEncoder().encode(value)
  const { capacityResponse = text('capacity'), claims = text('{"engine":"docker"}') } = contents
  const statement = create(StatementSchema, {
    ...EXPECTED,
    hpkePublicKey: new Uint8Array(32).fill(3),
    meterAddress: new Uint8Array(20).fill(4),
    evidenceType: 'snp',
    capacityDigest: await sha256(capacityResponse),
    claimsDigest: await sha256(claims),
    ...changes,
  })
  const quote = await attester.quote(contents.reportData ?? (await reportData(statement)))
  return create(EvidenceSchema, { statement, ...quote, capacityResponse, claims })
}

export async function judge(
  evidence: Evidence,
  { policy, expected = EXPECTED }: { policy: Policy; expected?: ExpectedStatement },
): Promise<Verdict> {
  return await appraise(evidence, { policy, expected, now: NOW })
}

/** Codes of the checks that refuse. */
export function refusals(verdict: Verdict): string[] {
  return verdict.checks.filter(({ tier }) => tier === 'contraindicated').map(({ code }) => code)
}
