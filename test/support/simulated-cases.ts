/** Evidence of both simulated attesters with the policy that takes it, and what somebody might try to have it taken without one. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { create } from '@bufbuild/protobuf'
import type { AppraiseOptions } from '@trusted-pods/protocol/attestation/appraise.ts'
import { parsePolicy } from '@trusted-pods/protocol/attestation/policy.ts'
import { reportData } from '@trusted-pods/protocol/attestation/statement.ts'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { type Evidence, EvidenceSchema, StatementSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { openSimulatedAttester, type SimulatedAttester } from '@trusted-pods/provider/attester/simulated.ts'
import { openSimulatedTdxAttester } from '@trusted-pods/provider/attester/simulated-tdx.ts'
import { parse } from 'yaml'

export interface SimulatedCase {
  readonly name: string
  readonly evidence: Evidence
  /** The policy as its file says it. */
  readonly document: Record<string, unknown>
  readonly options: AppraiseOptions
  /** The same with the root handed over as an anchor besides. */
  readonly anchored: AppraiseOptions
}

const NOW = new Date('2027-01-15T12:00:00Z')
const EXPECTED = {
  nonce: new Uint8Array(32).fill(7),
  publisherPeerId: new Uint8Array(38).fill(1),
  providerPeerId: new Uint8Array(38).fill(2),
}

export async function simulatedCases(): Promise<SimulatedCase[]> {
  const stateDir = await mkdtemp(join(tmpdir(), 'tp-simulated-'))
  try {
    const options = { stateDir, clock: () => NOW }
    return [
      await toCase('snp', await openSimulatedAttester(options)),
      await toCase('tdx', await openSimulatedTdxAttester(options)),
    ]
  } finally {
    await rm(stateDir, { recursive: true })
  }
}

async function toCase(evidenceType: 'snp' | 'tdx', attester: SimulatedAttester): Promise<SimulatedCase> {
  const path = resolve(import.meta.dirname, '../../examples/policy-simulated.yml')
  const fingerprint = attester.rootFingerprint
  const document = { ...parse(await readFile(path, 'utf8')), simulatedRoots: [fingerprint] }
  const options = { policy: parsePolicy(document), expected: EXPECTED, now: NOW }
  const anchors = { snp: [{ fingerprint, product: 'Simulated' as const }], tdx: [fingerprint] }
  return {
    name: evidenceType,
    evidence: await makeEvidence(evidenceType, attester),
    document,
    options,
    anchored: { ...options, anchors },
  }
}

async function makeEvidence(evidenceType: string, attester: SimulatedAttester): Promise<Evidence> {
  const empty = await sha256(new Uint8Array())
  const statement = create(StatementSchema, {
    ...EXPECTED,
    hpkePublicKey: new Uint8Array(32).fill(3),
    meterAddress: new Uint8Array(20).fill(4),
    evidenceType,
    capacityDigest: empty,
    claimsDigest: empty,
  })
  return create(EvidenceSchema, { statement, ...(await attester.quote(await reportData(statement))) })
}
