/** Judges the statement against what the verifier knows of its own. Spec: spec/ATTESTATION.md#binding. Pure. */
import { equalBytes, sha256, toHex } from '../bytes.ts'
import type { Evidence } from '../gen/trustedpods/v0/attest_pb.ts'
import { type Check, judge } from './checks.ts'
import type { Policy } from './policy.ts'
import type { StatementFields } from './statement.ts'

/** What the verifier knows of its own: the nonce that it drew and the two ends of its connection. */
export interface ExpectedStatement {
  readonly nonce: Uint8Array
  /** Multihash bytes of our own peer id. */
  readonly publisherPeerId: Uint8Array
  /** Multihash bytes of the peer id that Noise authenticated. */
  readonly providerPeerId: Uint8Array
  /** Chip ids in the provider's registry record, for a policy with `pinning: registry`. */
  readonly platformIds?: readonly Uint8Array[]
}

export interface BindingOptions {
  readonly policy: Policy
  readonly expected: ExpectedStatement
  readonly elapsedMs?: number
}

/** A statement with nothing in it: hashed where evidence has none, so that the same checks refuse it. */
export const NO_STATEMENT: StatementFields = {
  nonce: new Uint8Array(),
  publisherPeerId: new Uint8Array(),
  providerPeerId: new Uint8Array(),
  hpkePublicKey: new Uint8Array(),
  meterAddress: new Uint8Array(),
  evidenceType: '',
  capacityDigest: new Uint8Array(),
  claimsDigest: new Uint8Array(),
}

export async function appraiseBinding(evidence: Evidence, options: BindingOptions): Promise<Check[]> {
  const statement = evidence.statement ?? NO_STATEMENT
  const { policy, expected, elapsedMs } = options
  const types = policy.evidence
  const limit = policy.freshness.nonceSeconds * 1000
  return [
    checkFields(statement),
    judge(
      'binding.evidence-type',
      types.some((type) => type === statement.evidenceType),
      types.join(', ') || 'none',
      statement.evidenceType || 'nothing',
    ),
    checkBytes('binding.nonce', expected.nonce, statement.nonce),
    checkBytes('binding.publisher', expected.publisherPeerId, statement.publisherPeerId),
    checkBytes('binding.provider', expected.providerPeerId, statement.providerPeerId),
    checkBytes('binding.capacity', statement.capacityDigest, await sha256(evidence.capacityResponse)),
    checkBytes('binding.claims', statement.claimsDigest, await sha256(evidence.claims)),
    ...(elapsedMs === undefined
      ? []
      : [
          judge(
            'binding.stale',
            elapsedMs >= 0 && elapsedMs <= limit,
            `at most ${limit} ms`,
            `${Math.round(elapsedMs)} ms`,
          ),
        ]),
  ]
}

/** Lengths of the fields that have one, bytes. */
const LENGTHS = { nonce: 32, hpkePublicKey: 32, meterAddress: 20, capacityDigest: 32, claimsDigest: 32 } as const

function checkFields(statement: StatementFields): Check {
  const fields = Object.entries(LENGTHS) as [keyof typeof LENGTHS, number][]
  const wrong = fields.filter(([name, length]) => statement[name].length !== length)
  const empty = (['publisherPeerId', 'providerPeerId'] as const).filter((name) => statement[name].length === 0)
  const got = [...wrong.map(([name]) => `${name} of ${statement[name].length}`), ...empty.map((name) => `no ${name}`)]
  return judge('format.statement', got.length === 0, 'every field', got.join(', ') || 'every field')
}

function checkBytes(
  code: 'binding.nonce' | 'binding.publisher' | 'binding.provider' | 'binding.capacity' | 'binding.claims',
  expected: Uint8Array,
  got: Uint8Array,
): Check {
  return judge(code, expected.length > 0 && equalBytes(expected, got), toHex(expected), toHex(got) || 'nothing')
}
