/**
 * The text of an evidence file: JSON with the Evidence message in base64 and what its binding is judged by.
 * Form: docs/cli.md#evidence-files. Pure.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { fromHex, toHex } from '@trusted-pods/protocol/bytes.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { type Evidence, EvidenceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/attest_pb.ts'
import type { ReceivedEvidence } from './attest.ts'
import { fromBase64, isBase64, toBase64 } from './base64.ts'

const FORMAT = 'trusted-pods/evidence'
const VERSION = 1
const KEYS = [
  'format',
  'version',
  'receivedAt',
  'nonce',
  'publisherPeerId',
  'providerPeerId',
  'platformIds',
  'evidence',
] as const

type Fields = Record<(typeof KEYS)[number], unknown>

/** The text of the file. */
export function formatEvidenceFile({ evidence, expected, receivedAt }: ReceivedEvidence): string {
  const fields: Fields = {
    format: FORMAT,
    version: VERSION,
    receivedAt: receivedAt.toISOString(),
    nonce: toHex(expected.nonce),
    publisherPeerId: toHex(expected.publisherPeerId),
    providerPeerId: toHex(expected.providerPeerId),
    platformIds: (expected.platformIds ?? []).map(toHex),
    evidence: toBase64(toBinary(EvidenceSchema, evidence)),
  }
  return `${JSON.stringify(fields, null, 2)}\n`
}

/** @throws TrustedPodsError ATTEST_EVIDENCE_MALFORMED naming the key. */
export function parseEvidenceFile(text: string): ReceivedEvidence {
  const fields = readFields(text)
  if (fields.format !== FORMAT || fields.version !== VERSION) {
    throw malformed(`format ${FORMAT} and version ${VERSION}`, `${String(fields.format)} ${String(fields.version)}`)
  }
  const receivedAt = new Date(typeof fields.receivedAt === 'string' ? fields.receivedAt : Number.NaN)
  if (Number.isNaN(receivedAt.getTime())) throw malformed('receivedAt as ISO 8601', typeof fields.receivedAt)
  if (!Array.isArray(fields.platformIds)) throw malformed('platformIds as a list', typeof fields.platformIds)
  return {
    evidence: readEvidence(fields.evidence),
    expected: {
      nonce: readHex('nonce', fields.nonce),
      publisherPeerId: readHex('publisherPeerId', fields.publisherPeerId),
      providerPeerId: readHex('providerPeerId', fields.providerPeerId),
      platformIds: fields.platformIds.map((id: unknown) => readHex('platformIds', id)),
    },
    receivedAt,
  }
}

function readFields(text: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw malformed('JSON', 'other text', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('a JSON object', typeof value)
  const missing = KEYS.filter((key) => !Object.hasOwn(value, key))
  const unknown = Object.keys(value).filter((key) => !KEYS.some((known) => known === key))
  if (missing.length > 0) throw malformed(`the keys ${missing.join(', ')}`, 'none of them')
  if (unknown.length > 0) throw malformed('no other key', unknown.join(', ').slice(0, 80))
  return value as Fields
}

function readEvidence(value: unknown): Evidence {
  if (typeof value !== 'string' || !isBase64(value)) throw malformed('evidence in base64', typeof value)
  try {
    return fromBinary(EvidenceSchema, fromBase64(value))
  } catch (cause) {
    throw malformed('an Evidence message', 'other bytes', cause)
  }
}

function readHex(key: string, value: unknown): Uint8Array {
  const bytes = typeof value === 'string' ? fromHex(value) : undefined
  if (bytes === undefined) throw malformed(`${key} in hex`, typeof value)
  return bytes
}

function malformed(wanted: string, got: string, cause?: unknown): TrustedPodsError {
  const message = `evidence file: expected ${wanted}, got ${got}`
  return new TrustedPodsError('ATTEST_EVIDENCE_MALFORMED', message, { cause })
}
