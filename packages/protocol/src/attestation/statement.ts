/**
 * What evidence commits to, and the hash of it that the hardware signs. Spec: spec/ATTESTATION.md#statement. Pure.
 */
import { concatBytes, lengthPrefixed, sha256 } from '../bytes.ts'

/** The fields of the message Statement, in the order in which they are hashed. */
export interface StatementFields {
  /** The verifier's 32 bytes. */
  readonly nonce: Uint8Array
  /** Multihash bytes. */
  readonly publisherPeerId: Uint8Array
  /** Multihash bytes. */
  readonly providerPeerId: Uint8Array
  /** X25519, 32 bytes. */
  readonly hpkePublicKey: Uint8Array
  /** 20 bytes. */
  readonly meterAddress: Uint8Array
  readonly evidenceType: string
  /** SHA-256 of the capacity response as sent; of nothing where none was asked for. */
  readonly capacityDigest: Uint8Array
  /** SHA-256 of the runtime claims as sent. */
  readonly claimsDigest: Uint8Array
}

/** Domain tag: the protocol id and one zero byte, so that no other protocol's hash can be taken for ours. */
const TAG = new TextEncoder().encode('trusted-pods/attest/0.0.1\0')

/** REPORT_DATA of a statement, 64 bytes: SHA-512 over the tag and each field with its length. */
export async function reportData(statement: StatementFields): Promise<Uint8Array<ArrayBuffer>> {
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
  const digest = await crypto.subtle.digest('SHA-512', concatBytes(TAG, ...fields.map(lengthPrefixed)))
  return new Uint8Array(digest)
}

/** Names the session that an attestation opens, 32 bytes: SHA-256 of its REPORT_DATA. */
export async function sessionId(data: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return await sha256(data)
}
