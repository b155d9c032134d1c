/**
 * A provider's record: signed by its peer key in a libp2p envelope and announced by its account, so that each binds the other.
 * Nothing in it is believed beyond that; the live evidence decides. Spec: spec/REGISTRY.md#record. Pure.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromMultihash, peerIdFromPublicKey } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { decode as decodeMultihash } from 'multiformats/hashes/digest'
import { type Address, isAddressEqual } from 'viem'
import { equalBytes } from '../bytes.ts'
import { toAddress } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import { type ProviderRecord, ProviderRecordSchema } from '../gen/trustedpods/v0/registry_pb.ts'
import { checkPricingTable } from '../pricing/pricing-table.ts'
import { MAX_RESOURCES } from '../wire/protocols.ts'
import { openMultiaddrs } from './dialable-multiaddr.ts'

/** What the registry contract takes. */
export const MAX_RECORD_BYTES = 4096
/** Longest that a record may hold from now: a provider that went away is gone from the lists after it. */
export const MAX_RECORD_LIFETIME_MS = 31 * 24 * 3600_000
export const MAX_PRICE_LISTS = 8
const MAX_ATTESTATION_HINTS = 8
const DOMAIN = 'trusted-pods-provider-record'
const PAYLOAD_TYPE = new TextEncoder().encode('/trusted-pods/provider-record')
/** Short printable text of the provider's own choice: a region, a sandbox. */
const LABEL = /^[\p{L}\p{N}/._ -]{0,64}$/u

/** Where a record was read, and who announced it there. */
export interface RecordPlace {
  readonly chainId: number | bigint
  readonly registry: Address
  /** Undefined where nobody did, as in a file: the record's account is then only its own word. */
  readonly account: Address | undefined
}

export interface OpenRecordOptions extends RecordPlace, Currency {}

/** What decides whether a record is still good. */
export interface Currency {
  readonly now: Date
  /** The highest sequence seen of this peer: a record below it is old. */
  readonly minSequence?: bigint
}

/** A record whose signature and bindings hold. */
export interface OpenedRecord {
  readonly record: ProviderRecord
  readonly peerId: PeerId
  readonly account: Address
  /** Where to dial; each of a kind that can be dialled, none leads to another peer. */
  readonly multiaddrs: readonly Multiaddr[]
}

/** @throws TrustedPodsError CHANNEL_REGISTRY_RECORD when the envelope is longer than the registry takes. */
export async function signRecord(record: ProviderRecord, privateKey: PrivateKey): Promise<Uint8Array> {
  const payload = toBinary(ProviderRecordSchema, record)
  const sealable = { domain: DOMAIN, codec: PAYLOAD_TYPE, marshal: () => payload, equals: () => false }
  const bytes = (await RecordEnvelope.seal(sealable, privateKey)).marshal()
  if (bytes.length > MAX_RECORD_BYTES) refuse(`it has ${bytes.length} bytes, at most ${MAX_RECORD_BYTES}`)
  return bytes
}

/** @throws TrustedPodsError CHANNEL_REGISTRY_RECORD saying what does not hold. */
export async function openRecord(bytes: Uint8Array, options: OpenRecordOptions): Promise<OpenedRecord> {
  const { opened } = await verifyRecord(bytes, options)
  requireCurrent(opened.record, options)
  return opened
}

/** All that holds of a record for ever or never, whatever the time: its payload may be kept and opened again by `reopenRecord`.
 * @throws TrustedPodsError CHANNEL_REGISTRY_RECORD saying what does not hold. */
export async function verifyRecord(
  bytes: Uint8Array,
  place: RecordPlace,
): Promise<{ opened: OpenedRecord; payload: Uint8Array }> {
  if (bytes.length > MAX_RECORD_BYTES) refuse(`it has ${bytes.length} bytes, at most ${MAX_RECORD_BYTES}`)
  const { record, peerId, payload } = await openEnvelope(bytes)
  const account = checkBinding(record, place)
  checkHints(record)
  return { opened: { record, peerId, account, multiaddrs: openMultiaddrs(record.multiaddrs, peerId) }, payload }
}

/** The record in a payload that `verifyRecord` gave for the same place; nothing is verified again, and nothing read before it is
 * asked for: a list of ten thousand shows a few. */
export function reopenRecord(payload: Uint8Array): OpenedRecord {
  let decoded: ProviderRecord | undefined
  const read = () => {
    decoded ??= fromBinary(ProviderRecordSchema, payload)
    return decoded
  }
  return {
    get record() {
      return read()
    },
    get peerId() {
      return peerIdFromMultihash(decodeMultihash(read().peerId))
    },
    get account() {
      return toAddress(read().account, 'CHANNEL_REGISTRY_RECORD')
    },
    get multiaddrs() {
      return read().multiaddrs.map((bytes) => multiaddr(bytes))
    },
  }
}

/** @throws TrustedPodsError CHANNEL_REGISTRY_RECORD when the record has ended, is older than one seen, or holds too long. */
export function requireCurrent(
  record: Pick<ProviderRecord, 'sequence' | 'expiresAtMs'>,
  { now, minSequence = 0n }: Currency,
): void {
  const nowMs = BigInt(now.getTime())
  if (record.sequence < minSequence) refuse(`its sequence is ${record.sequence}, ${minSequence} was seen before`)
  if (record.expiresAtMs <= nowMs) refuse('it has expired')
  if (record.expiresAtMs > nowMs + BigInt(MAX_RECORD_LIFETIME_MS)) refuse('it holds for more than 31 days')
}

async function openEnvelope(
  bytes: Uint8Array,
): Promise<{ record: ProviderRecord; peerId: PeerId; payload: Uint8Array }> {
  try {
    const envelope = await RecordEnvelope.openAndCertify(bytes, DOMAIN)
    if (!equalBytes(envelope.payloadType, PAYLOAD_TYPE)) refuse('its payload is of another type')
    const peerId = peerIdFromPublicKey(envelope.publicKey)
    const payload = envelope.payload.subarray()
    const record = fromBinary(ProviderRecordSchema, payload)
    if (!equalBytes(record.peerId, peerId.toMultihash().bytes))
      refuse(`it was signed by peer ${peerId}, which is not the peer in it`)
    return { record, peerId, payload }
  } catch (cause) {
    if (cause instanceof TrustedPodsError) throw cause
    throw new TrustedPodsError('CHANNEL_REGISTRY_RECORD', 'the record is no signed envelope with a provider record', {
      cause,
    })
  }
}

function checkBinding(record: ProviderRecord, { chainId, registry, account }: RecordPlace): Address {
  if (record.chainId !== BigInt(chainId)) refuse(`it is for chain ${record.chainId}, wanted ${chainId}`)
  const [ownRegistry, ownAccount] = [record.registry, record.account].map((a) =>
    toAddress(a, 'CHANNEL_REGISTRY_RECORD'),
  ) as [Address, Address]
  if (!isAddressEqual(ownRegistry, registry)) refuse(`it is for registry ${ownRegistry}, wanted ${registry}`)
  if (account !== undefined && !isAddressEqual(ownAccount, account))
    refuse(`it names account ${ownAccount}, but ${account} announced it`)
  return ownAccount
}

function checkHints({ pricing, capacity, attestations, region, sandbox }: ProviderRecord): void {
  if (pricing.length > MAX_PRICE_LISTS) refuse(`it has ${pricing.length} price lists, at most ${MAX_PRICE_LISTS}`)
  if (capacity.length > MAX_RESOURCES) refuse(`it has ${capacity.length} resources, at most ${MAX_RESOURCES}`)
  if (attestations.length > MAX_ATTESTATION_HINTS)
    refuse(`it has ${attestations.length} attestation hints, at most ${MAX_ATTESTATION_HINTS}`)
  if (!LABEL.test(region) || !LABEL.test(sandbox)) refuse('its region or sandbox is too long or not printable')
  for (const table of pricing) checkTable(table)
}

function checkTable(table: Parameters<typeof checkPricingTable>[0]): void {
  try {
    checkPricingTable(table)
  } catch (cause) {
    throw new TrustedPodsError('CHANNEL_REGISTRY_RECORD', 'the record has a price list that is not well-formed', {
      cause,
    })
  }
}

function refuse(message: string): never {
  throw new TrustedPodsError('CHANNEL_REGISTRY_RECORD', `the record is refused: ${message}`)
}
