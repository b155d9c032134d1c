/** /trusted-pods/attest/0.0.1: a statement of this very connection's ends and of our keys, and evidence for it. Spec: spec/ATTESTATION.md. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Connection, PeerId } from '@libp2p/interface'
import { reportData, sessionId } from '@trusted-pods/protocol/attestation/statement.ts'
import { sha256 } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import {
  type AttestRequest,
  type Evidence,
  EvidenceSchema,
  StatementSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import {
  type CapacityRequest,
  CapacityRequestSchema,
  CapacityResponseSchema,
} from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { toRefusal } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Attester } from './attester/attester.ts'
import { type Asker, makeOffer, type QuoteParts } from './quote.ts'
import type { SessionTable } from './session.ts'

const NONCE_BYTES = 32
/** More names than there are types: a list without end is refused. */
const MAX_EVIDENCE_TYPES = 8

export interface AttestParts {
  readonly attester: Attester
  readonly sessions: SessionTable
  readonly quote: QuoteParts
  /** X25519, 32 bytes. */
  readonly hpkePublicKey: Uint8Array
  /** 20 bytes. */
  readonly meterAddress: Uint8Array
  readonly peerId: PeerId
  /** Runtime claims, JSON. */
  readonly claims: Uint8Array
}

/** Begins the connection's session. @throws TrustedPodsError ATTEST_BAD_REQUEST, ATTEST_UNKNOWN_EVIDENCE_TYPE, ATTEST_UNAVAILABLE. */
export async function makeEvidence(
  request: AttestRequest,
  connection: Connection,
  parts: AttestParts,
): Promise<Evidence> {
  const { attester, sessions, claims } = parts
  checkRequest(request, attester)
  const capacityResponse =
    request.capacityRequest.length > 0
      ? await answerCapacity(request.capacityRequest, connection, parts)
      : new Uint8Array()
  const statement = create(StatementSchema, {
    nonce: request.nonce,
    publisherPeerId: connection.remotePeer.toMultihash().bytes,
    providerPeerId: parts.peerId.toMultihash().bytes,
    hpkePublicKey: parts.hpkePublicKey,
    meterAddress: parts.meterAddress,
    evidenceType: attester.evidenceType,
    capacityDigest: await sha256(capacityResponse),
    claimsDigest: await sha256(claims),
  })
  const data = await reportData(statement)
  const quote = await attester.quote(data)
  sessions.begin(connection, await sessionId(data))
  return create(EvidenceSchema, { statement, ...quote, capacityResponse, claims })
}

function checkRequest({ nonce, evidenceTypes }: AttestRequest, { evidenceType }: Attester): void {
  if (nonce.length !== NONCE_BYTES) {
    throw new TrustedPodsError('ATTEST_BAD_REQUEST', `the nonce has ${nonce.length} bytes, ${NONCE_BYTES} are wanted`)
  }
  if (evidenceTypes.length > MAX_EVIDENCE_TYPES) {
    throw new TrustedPodsError(
      'ATTEST_BAD_REQUEST',
      `${evidenceTypes.length} evidence types, at most ${MAX_EVIDENCE_TYPES}`,
    )
  }
  if (!evidenceTypes.includes(evidenceType)) {
    throw new TrustedPodsError(
      'ATTEST_UNKNOWN_EVIDENCE_TYPE',
      `the publisher accepts ${evidenceTypes.join(', ') || 'none'}, there is ${evidenceType} here`,
    )
  }
}

/** The capacity answer that the statement covers; a refusal there does not refuse the evidence. */
async function answerCapacity(bytes: Uint8Array, asker: Asker, { quote }: AttestParts): Promise<Uint8Array> {
  try {
    const value = await makeOffer(decodeRequest(bytes), asker, quote)
    return toBinary(CapacityResponseSchema, create(CapacityResponseSchema, { result: { case: 'offer', value } }))
  } catch (error) {
    if (!(error instanceof TrustedPodsError)) throw error
    return toBinary(
      CapacityResponseSchema,
      create(CapacityResponseSchema, { result: { case: 'refusal', value: toRefusal(error) } }),
    )
  }
}

function decodeRequest(bytes: Uint8Array): CapacityRequest {
  try {
    return fromBinary(CapacityRequestSchema, bytes)
  } catch (cause) {
    throw new TrustedPodsError('WIRE_MALFORMED', 'the capacity request in the attest request cannot be read', { cause })
  }
}
