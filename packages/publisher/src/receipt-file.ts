/**
 * What a pod cost, in one file that anybody can check without a network and without us: terms, quote, pod, evidence, usage, sum and
 * how it ended. Form: spec/PAYMENT.md#receipt-file. Pure.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { fromHex, toHex } from '@trusted-pods/protocol/bytes.ts'
import { toAddress } from '@trusted-pods/protocol/chain/address.ts'
import { type ChannelTerms, channelId } from '@trusted-pods/protocol/channel/terms.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { SignedQuote } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { type Receipt, ReceiptSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import type { Address, Hex } from 'viem'
import { fromBase64, isBase64, toBase64 } from './base64.ts'
import type { Lease } from './lease.ts'

const FORMAT = 'trusted-pods/receipt'
const VERSION = 1

export interface ReceiptFile {
  readonly chainId: bigint
  readonly escrow: Address
  readonly terms: ChannelTerms
  /** As the file says; it follows from the terms. */
  readonly channelId: Hex
  readonly quote: SignedQuote
  /** SHA-256 of the encoded Pod: the manifest as the payer authorised it. */
  readonly podDigest: Uint8Array
  /** SHA-256 of the encoded Evidence. */
  readonly evidenceDigest: Uint8Array
  /** The payer's signature over channel, pod, quote and peers. */
  readonly authorization: Uint8Array
  readonly receipt: Receipt
}

/** @throws TrustedPodsError CHANNEL_NOT_FOUND for a lease whose pod never ran. */
export function receiptFileOf(lease: Lease, receipt: Receipt): ReceiptFile {
  if (!lease.proof)
    throw new TrustedPodsError(
      'CHANNEL_RECEIPT_INVALID',
      `lease ${lease.id.slice(0, 12)} has no record of its quote: its pod never ran, or an older version stored it`,
    )
  const { chainId, escrow, terms } = lease.channel
  return { chainId, escrow, terms, channelId: channelId(terms, lease.channel), ...lease.proof, receipt }
}

export function formatReceiptFile(file: ReceiptFile): string {
  const { terms } = file
  return `${JSON.stringify(
    {
      format: FORMAT,
      version: VERSION,
      chainId: file.chainId.toString(),
      escrow: file.escrow,
      terms: { ...terms, ratePerHour: terms.ratePerHour.toString() },
      channelId: file.channelId,
      quote: toBase64(toBinary(SignedQuoteSchema, file.quote)),
      podDigest: toHex(file.podDigest),
      evidenceDigest: toHex(file.evidenceDigest),
      authorization: toHex(file.authorization),
      receipt: toBase64(toBinary(ReceiptSchema, file.receipt)),
    },
    null,
    2,
  )}\n`
}

/** @throws TrustedPodsError CHANNEL_RECEIPT_INVALID naming the key. */
export function parseReceiptFile(text: string): ReceiptFile {
  const root = readObject(text)
  if (root.format !== FORMAT || root.version !== VERSION)
    throw malformed(`format ${FORMAT} and version ${VERSION}`, `${String(root.format)} ${String(root.version)}`)
  only(root, KEYS)
  return {
    chainId: readInteger(root, 'chainId'),
    escrow: readAddress(root, 'escrow'),
    terms: readTerms(root.terms),
    channelId: readHex32(root, 'channelId'),
    quote: readMessage(root, 'quote', (bytes) => fromBinary(SignedQuoteSchema, bytes)),
    podDigest: readDigest(root, 'podDigest'),
    evidenceDigest: readDigest(root, 'evidenceDigest'),
    authorization: readBytes(root, 'authorization'),
    receipt: readMessage(root, 'receipt', (bytes) => fromBinary(ReceiptSchema, bytes)),
  }
}

type Fields = Record<string, unknown>

const KEYS = [
  'format',
  'version',
  'chainId',
  'escrow',
  'terms',
  'channelId',
  'quote',
  'podDigest',
  'evidenceDigest',
  'authorization',
  'receipt',
]
const TERMS_KEYS = ['payer', 'voucherSigner', 'provider', 'meter', 'token', 'ratePerHour', 'unlockDelay', 'podId']

function readTerms(value: unknown): ChannelTerms {
  const terms = requireObject(value, 'terms')
  only(terms, TERMS_KEYS)
  const { unlockDelay } = terms
  if (
    typeof unlockDelay !== 'number' ||
    !Number.isSafeInteger(unlockDelay) ||
    unlockDelay < 0 ||
    unlockDelay >= 2 ** 32
  )
    throw malformed('terms.unlockDelay as seconds in 32 bits', typeof unlockDelay)
  const ratePerHour = readInteger(terms, 'ratePerHour')
  if (ratePerHour >= 2n ** 96n) throw malformed('terms.ratePerHour in 96 bits', `${ratePerHour}`)
  return {
    payer: readAddress(terms, 'payer'),
    voucherSigner: readAddress(terms, 'voucherSigner'),
    provider: readAddress(terms, 'provider'),
    meter: readAddress(terms, 'meter'),
    token: readAddress(terms, 'token'),
    ratePerHour,
    unlockDelay,
    podId: readHex32(terms, 'podId'),
  }
}

function readObject(text: string): Fields {
  try {
    return requireObject(JSON.parse(text), 'a JSON object')
  } catch (cause) {
    throw cause instanceof TrustedPodsError ? cause : malformed('JSON', 'other text')
  }
}

function requireObject(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(what, typeof value)
  return value as Fields
}

function only(fields: Fields, known: readonly string[]): void {
  const unknown = Object.keys(fields).filter((key) => !known.includes(key))
  if (unknown.length > 0) throw malformed('no other key', unknown.join(', ').slice(0, 80))
}

function readText(fields: Fields, key: string): string {
  const value = fields[key]
  if (typeof value !== 'string') throw malformed(`${key} as text`, typeof value)
  return value
}

function readInteger(fields: Fields, key: string): bigint {
  const text = readText(fields, key)
  if (!/^(0|[1-9][0-9]{0,38})$/.test(text)) throw malformed(`${key} as decimal digits`, text.slice(0, 40))
  return BigInt(text)
}

function readAddress(fields: Fields, key: string): Address {
  return toAddress(readText(fields, key), 'CHANNEL_RECEIPT_INVALID')
}

function readBytes(fields: Fields, key: string): Uint8Array {
  const bytes = fromHex(readText(fields, key))
  if (!bytes) throw malformed(`${key} in hex`, 'other text')
  return bytes
}

function readDigest(fields: Fields, key: string): Uint8Array {
  const bytes = readBytes(fields, key)
  if (bytes.length !== 32) throw malformed(`${key} of 32 bytes`, `${bytes.length} bytes`)
  return bytes
}

function readHex32(fields: Fields, key: string): Hex {
  return `0x${toHex(readDigest(fields, key))}`
}

function readMessage<T>(fields: Fields, key: string, decode: (bytes: Uint8Array) => T): T {
  const text = readText(fields, key)
  if (!isBase64(text)) throw malformed(`${key} in base64`, 'other text')
  try {
    return decode(fromBase64(text))
  } catch {
    throw malformed(`${key} as a Protobuf message`, 'other bytes')
  }
}

function malformed(wanted: string, got: string): TrustedPodsError {
  return new TrustedPodsError('CHANNEL_RECEIPT_INVALID', `receipt file: expected ${wanted}, got ${got}`)
}
