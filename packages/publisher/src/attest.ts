/**
 * Proves that the peer of a live connection is a stack that the policy trusts. The one place where an AttestedPeer comes to be:
 * what takes one cannot be called without. Spec: spec/ATTESTATION.md#protocol.
 */
import { toBinary } from '@bufbuild/protobuf'
import type { Connection } from '@libp2p/interface'
import { appraise, type ExpectedStatement } from '@trusted-pods/protocol/attestation/appraise.ts'
import type { Policy } from '@trusted-pods/protocol/attestation/policy.ts'
import { reportData, sessionId } from '@trusted-pods/protocol/attestation/statement.ts'
import { isAccepted, type Verdict } from '@trusted-pods/protocol/attestation/verdict.ts'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { toAddress } from '@trusted-pods/protocol/chain/address.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  AttestRequestSchema,
  type AttestResponse,
  AttestResponseSchema,
  type Evidence,
  EvidenceSchema,
  type Statement,
} from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import { type CapacityRequest, CapacityRequestSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { request } from '@trusted-pods/protocol/wire/exchange.ts'
import { ATTEST, NONCE_LIFETIME_MS } from '@trusted-pods/protocol/wire/protocols.ts'
import { throwRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Address } from 'viem'
import type { Peer } from './dial.ts'

export interface AttestOptions {
  /** Chip ids in the provider's registry record, for a policy that pins to them. */
  platformIds?: readonly Uint8Array[]
  /** Asked in the same exchange; the evidence then covers the answer. */
  capacity?: CapacityRequest
  /** Told of the evidence before it is judged, also where it will be refused. */
  onEvidence?: (received: ReceivedEvidence) => void
  signal?: AbortSignal
}

/** Evidence with all that its binding is judged by: enough to judge it again without the provider. */
export interface ReceivedEvidence {
  readonly evidence: Evidence
  readonly expected: ExpectedStatement
  readonly receivedAt: Date
}

const NONCE_BYTES = 32
const HPKE_KEY_BYTES = 32

/** A peer whose evidence was accepted, on the connection on which it was. A redial attests again. */
class Attested {
  /** Makes the type nominal: nothing outside of this file has it. */
  readonly #proven = true
  readonly connection: Connection
  readonly verdict: Verdict
  /** SHA-256 of REPORT_DATA: names the session that manifests are sealed to. */
  readonly session: Uint8Array
  /** SHA-256 of the encoded Evidence: what an exported receipt refers to. */
  readonly evidenceDigest: Uint8Array
  /** What was judged. */
  readonly received: ReceivedEvidence
  /** X25519; born in the attested machine. */
  readonly hpkePublicKey: Uint8Array
  /** Signs quotes and receipts. */
  readonly meter: Address
  /** Multihash bytes. */
  readonly publisherPeerId: Uint8Array
  /** Multihash bytes. */
  readonly providerPeerId: Uint8Array
  /** Runtime claims, JSON as sent; covered by the evidence, empty where there are none. */
  readonly claims: Uint8Array
  /** The encoded answer to the capacity request that went along; covered by the evidence. */
  readonly capacityResponse?: Uint8Array

  constructor(connection: Connection, { verdict, statement, session, received, evidenceDigest }: Proof) {
    this.connection = connection
    this.verdict = verdict
    this.session = session
    this.evidenceDigest = evidenceDigest
    this.received = received
    const { evidence } = received
    this.hpkePublicKey = statement.hpkePublicKey
    this.meter = toAddress(statement.meterAddress, 'ATTEST_EVIDENCE_MALFORMED')
    this.publisherPeerId = statement.publisherPeerId
    this.providerPeerId = statement.providerPeerId
    this.claims = evidence.claims
    if (evidence.capacityResponse.length > 0) this.capacityResponse = evidence.capacityResponse
  }

  /** Whether a value was made here, for callers without a compiler. */
  static isProven(value: object): boolean {
    return #proven in value
  }
}

export type AttestedPeer = Attested

interface Proof {
  verdict: Verdict
  received: ReceivedEvidence
  evidenceDigest: Uint8Array
  statement: Statement
  session: Uint8Array
}

/**
 * Draws a nonce, asks for evidence and appraises it by the policy; on success the peer's keys are the attested ones.
 * @throws TrustedPodsError ATTEST_REFUSED, from which `refusedVerdict` gives the verdict; ATTEST_EVIDENCE_MALFORMED; ATTEST_… with
 * remote: the provider gave no evidence; WIRE_….
 */
export async function attest(peer: Peer, policy: Policy, options: AttestOptions = {}): Promise<AttestedPeer> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
  const startedAt = performance.now()
  const evidence = await requestEvidence(peer, { nonce, policy, options })
  const elapsedMs = performance.now() - startedAt
  const now = new Date()
  const expected = expectation(peer, nonce, options)
  const received = { evidence, expected, receivedAt: now }
  options.onEvidence?.(received)
  const verdict = await appraise(evidence, { policy, now, elapsedMs, expected })
  if (!isAccepted(verdict, policy)) throw refused(verdict)
  if (elapsedMs > NONCE_LIFETIME_MS) {
    throw new TrustedPodsError(
      'ATTEST_STALE',
      `the evidence took ${Math.round(elapsedMs)} ms, at most ${NONCE_LIFETIME_MS} are allowed`,
    )
  }
  const statement = requireStatement(evidence)
  if (options.capacity && evidence.capacityResponse.length === 0) {
    throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', 'the capacity request was not answered')
  }
  return new Attested(peer.connection, {
    verdict,
    received,
    evidenceDigest: await sha256(toBinary(EvidenceSchema, evidence)),
    statement,
    session: await sessionId(await reportData(statement)),
  })
}

/** The verdict behind an ATTEST_REFUSED of our own; undefined for every other error. */
export function refusedVerdict(error: unknown): Verdict | undefined {
  return error instanceof TrustedPodsError && error.cause instanceof RefusedVerdict ? error.cause.verdict : undefined
}

class RefusedVerdict {
  readonly verdict: Verdict
  constructor(verdict: Verdict) {
    this.verdict = verdict
  }
}

/** @throws TypeError where a caller without a compiler brings something else. */
export function requireAttested(peer: AttestedPeer): void {
  if (!Attested.isProven(peer)) throw new TypeError('an attested peer is made by attest() alone')
}

function refused(verdict: Verdict): TrustedPodsError {
  const failed = verdict.checks.filter(({ tier }) => tier !== 'affirming')
  const codes = failed
    .map(({ code, tier }) => `${code} (${tier})`)
    .slice(0, 8)
    .join(', ')
  return new TrustedPodsError(
    'ATTEST_REFUSED',
    `the policy refuses the evidence, tier ${verdict.tier}: ${codes || 'no check was made'}`,
    {
      cause: new RefusedVerdict(verdict),
    },
  )
}

function expectation(peer: Peer, nonce: Uint8Array, { platformIds }: AttestOptions): ExpectedStatement {
  return {
    nonce,
    publisherPeerId: peer.self.toMultihash().bytes,
    providerPeerId: peer.connection.remotePeer.toMultihash().bytes,
    ...(platformIds && { platformIds }),
  }
}

async function requestEvidence(
  { connection }: Peer,
  { nonce, policy, options: { capacity, signal } }: { nonce: Uint8Array; policy: Policy; options: AttestOptions },
): Promise<Evidence> {
  const message = {
    nonce,
    evidenceTypes: [...policy.evidence],
    capacityRequest: capacity ? toBinary(CapacityRequestSchema, capacity) : new Uint8Array(),
  }
  const ask = { request: AttestRequestSchema, message, response: AttestResponseSchema }
  return requireEvidence(await request(connection, ATTEST, ask, signal ? { signal } : {}))
}

function requireEvidence({ result }: AttestResponse): Evidence {
  if (result.case === 'refusal') throwRefusal(result.value)
  if (result.case !== 'evidence') {
    throw new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', 'the answer holds neither evidence nor a refusal')
  }
  return result.value
}

function requireStatement({ statement }: Evidence): Statement {
  if (statement?.hpkePublicKey.length !== HPKE_KEY_BYTES) {
    throw new TrustedPodsError(
      'ATTEST_EVIDENCE_MALFORMED',
      `the statement names no X25519 key of ${HPKE_KEY_BYTES} bytes`,
    )
  }
  return statement
}
