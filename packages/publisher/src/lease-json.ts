/** A lease as JSON text and back, secrets included: for a file that its owner alone can read. Pure. */
import { type DescMessage, fromJson, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf'
import { fromHex, toHex } from '@trusted-pods/protocol/bytes.ts'
import { toAddress } from '@trusted-pods/protocol/chain/address.ts'
import { fromProtoTerms, toProtoTerms } from '@trusted-pods/protocol/channel/terms.ts'
import type { TransferAuthorization } from '@trusted-pods/protocol/channel/transfer-authorization.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { SignedQuoteSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/capacity_pb.ts'
import { TermsSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/payment_pb.ts'
import { ResourceSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pod_pb.ts'
import { PricingTableSchema } from '@trusted-pods/protocol/gen/trustedpods/v0/pricing_pb.ts'
import type { Hex } from 'viem'
import type { Lease, LeaseFacts, LeasePhase, LeaseProof, ProvisionDraft } from './lease.ts'
import type { ChannelOpening } from './opening.ts'
import { Secret } from './secret.ts'

/** Rises when an older program could misread the file. */
const VERSION = 1

export function leaseToJson(lease: Lease): string {
  const { channel, provider } = lease
  const facts = {
    version: VERSION,
    id: lease.id,
    name: lease.name,
    createdAt: lease.createdAt.toISOString(),
    provider: { ...provider, platformIds: provider.platformIds.map(toHex) },
    channel: {
      chainId: channel.chainId.toString(),
      escrow: channel.escrow,
      terms: toJson(TermsSchema, toProtoTerms(channel.terms)),
      deposit: channel.deposit.toString(),
      sinceBlock: channel.sinceBlock.toString(),
      ...(channel.opening && {
        opening: { ...channel.opening, blockNumber: channel.opening.blockNumber.toString() },
      }),
      ...(channel.relay && { relay: authorizationToJson(channel.relay) }),
      ...(channel.topUp && { topUp: authorizationToJson(channel.topUp) }),
    },
    pricing: toJson(PricingTableSchema, lease.pricing),
    resources: lease.resources.map((resource) => toJson(ResourceSchema, resource)),
    simulated: lease.simulated,
    ...(lease.proof && { proof: proofToJson(lease.proof) }),
  }
  return `${JSON.stringify({ ...facts, phase: phaseToJson(lease) }, undefined, 2)}\n`
}

function authorizationToJson({ amount, validBefore, salt, signature }: TransferAuthorization) {
  return { amount: amount.toString(), validBefore: validBefore.toString(), salt, signature }
}

function readAuthorization(channel: Reader, key: 'relay' | 'topUp'): { [_ in typeof key]?: TransferAuthorization } {
  if (channel.field(key) === undefined) return {}
  const read = channel.at(key)
  const [amount, validBefore] = [read.integer('amount'), read.integer('validBefore')]
  return { [key]: { amount, validBefore, salt: read.hex('salt'), signature: read.hex('signature') } }
}

function proofToJson({ quote, podDigest, evidenceDigest, authorization }: LeaseProof) {
  const digests = { podDigest: toHex(podDigest), evidenceDigest: toHex(evidenceDigest) }
  return { quote: toJson(SignedQuoteSchema, quote), ...digests, authorization: toHex(authorization) }
}

function readProof(root: Reader): { proof?: LeaseProof } {
  if (root.field('proof') === undefined) return {}
  const proof = root.at('proof')
  return {
    proof: {
      quote: proof.message('quote', SignedQuoteSchema),
      podDigest: bytesOf(proof.text('podDigest'), 'podDigest'),
      evidenceDigest: bytesOf(proof.text('evidenceDigest'), 'evidenceDigest'),
      authorization: bytesOf(proof.text('authorization'), 'authorization'),
    },
  }
}

function phaseToJson(phase: LeasePhase) {
  const { kind } = phase
  switch (kind) {
    case 'opening':
      return { kind, draft: draftToJson(phase.draft.reveal()) }
    case 'funded':
      return { kind, openTransaction: phase.openTransaction, draft: draftToJson(phase.draft.reveal()) }
    case 'running':
      return { kind, openTransaction: phase.openTransaction }
    case 'closing':
      return { kind, closeAt: phase.closeAt.toISOString(), reason: phase.reason }
    case 'ended': {
      const { endedAt, paid, refund, reason } = phase
      return { kind, endedAt: endedAt.toISOString(), paid: paid.toString(), refund: refund.toString(), reason }
    }
  }
}

function draftToJson({ idempotencyKey, pod, quote }: ProvisionDraft) {
  return { idempotencyKey: toHex(idempotencyKey), pod: toHex(pod), quote: toJson(SignedQuoteSchema, quote) }
}

/** @throws TrustedPodsError PLATFORM_STATE naming what is wrong; never the content. */
export function leaseFromJson(text: string): Lease {
  const root = new Reader(parseJson(text), 'lease')
  const version = root.field('version')
  if (version !== VERSION) throw unreadable(`version is ${String(version).slice(0, 20)}, wanted ${VERSION}`)
  return { ...readFacts(root), ...readPhase(root.at('phase')) }
}

function readFacts(root: Reader): LeaseFacts {
  const [provider, channel] = [root.at('provider'), root.at('channel')]
  const id = root.text('id')
  const terms = fromProtoTerms(channel.message('terms', TermsSchema))
  if (!/^[0-9a-f]{64}$/.test(id) || terms.podId !== `0x${id}`)
    throw unreadable('its id is not the pod id of its channel')
  return {
    id,
    name: root.text('name'),
    createdAt: root.date('createdAt'),
    provider: {
      account: toAddress(provider.text('account'), 'PLATFORM_STATE'),
      peerId: provider.text('peerId'),
      multiaddrs: provider.texts('multiaddrs'),
      platformIds: provider.texts('platformIds').map((hex) => bytesOf(hex, 'platformIds')),
    },
    channel: {
      chainId: channel.integer('chainId'),
      escrow: toAddress(channel.text('escrow'), 'PLATFORM_STATE'),
      terms,
      deposit: channel.integer('deposit'),
      sinceBlock: channel.integer('sinceBlock'),
      ...readOpening(channel),
      ...readAuthorization(channel, 'relay'),
      ...readAuthorization(channel, 'topUp'),
    },
    pricing: root.message('pricing', PricingTableSchema),
    resources: root.items('resources').map((value) => fromProtoJson(ResourceSchema, value, 'resources')),
    simulated: root.flag('simulated'),
    ...readProof(root),
  }
}

function readOpening(channel: Reader): { opening?: ChannelOpening } {
  if (channel.field('opening') === undefined) return {}
  const opening = channel.at('opening')
  const nonce = opening.field('nonce')
  if (nonce !== undefined && !Number.isSafeInteger(nonce)) throw unreadable('nonce is no whole number')
  const [transaction, blockHash] = [opening.hex('transaction'), opening.hex('blockHash')]
  const facts = { transaction, blockHash, blockNumber: opening.integer('blockNumber') }
  return { opening: { ...facts, ...(typeof nonce === 'number' && { nonce }) } }
}

function readPhase(phase: Reader): LeasePhase {
  const kind = phase.text('kind')
  switch (kind) {
    case 'opening':
      return { kind, draft: readDraft(phase) }
    case 'funded':
      return { kind, openTransaction: phase.hex('openTransaction'), draft: readDraft(phase) }
    case 'running':
      return { kind, openTransaction: phase.hex('openTransaction') }
    case 'closing':
      return { kind, closeAt: phase.date('closeAt'), reason: phase.text('reason') }
    case 'ended':
      return {
        kind,
        endedAt: phase.date('endedAt'),
        paid: phase.integer('paid'),
        refund: phase.integer('refund'),
        reason: phase.text('reason'),
      }
  }
  throw unreadable(`phase.kind is ${kind.slice(0, 20)}`)
}

function readDraft(phase: Reader): Secret<ProvisionDraft> {
  const draft = phase.at('draft')
  return new Secret({
    idempotencyKey: bytesOf(draft.text('idempotencyKey'), 'idempotencyKey'),
    pod: bytesOf(draft.text('pod'), 'pod'),
    quote: draft.message('quote', SignedQuoteSchema),
  })
}

/** Values of one JSON object, each of the kind that is asked for. */
class Reader {
  readonly #values: Record<string, unknown>

  constructor(value: unknown, what: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadable(`${what} is no object`)
    this.#values = value as Record<string, unknown>
  }

  field(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined
  }

  at(key: string): Reader {
    return new Reader(this.field(key), key)
  }

  text(key: string): string {
    const value = this.field(key)
    if (typeof value !== 'string') throw unreadable(`${key} is no text`)
    return value
  }

  texts(key: string): string[] {
    return this.items(key).map((value) => {
      if (typeof value !== 'string') throw unreadable(`${key} has an entry that is no text`)
      return value
    })
  }

  items(key: string): unknown[] {
    const value = this.field(key)
    if (!Array.isArray(value)) throw unreadable(`${key} is no list`)
    return value
  }

  flag(key: string): boolean {
    const value = this.field(key)
    if (typeof value !== 'boolean') throw unreadable(`${key} is neither true nor false`)
    return value
  }

  integer(key: string): bigint {
    const text = this.text(key)
    if (!/^[0-9]{1,78}$/.test(text)) throw unreadable(`${key} is no whole number`)
    return BigInt(text)
  }

  date(key: string): Date {
    const date = new Date(this.text(key))
    if (Number.isNaN(date.getTime())) throw unreadable(`${key} is no time`)
    return date
  }

  hex(key: string): Hex {
    return `0x${toHex(bytesOf(this.text(key), key))}`
  }

  message<S extends DescMessage>(key: string, schema: S): MessageShape<S> {
    return fromProtoJson(schema, this.field(key), key)
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message repeats a piece of the text, which may be secret.
    throw unreadable('it is no JSON')
  }
}

function fromProtoJson<S extends DescMessage>(schema: S, value: unknown, what: string): MessageShape<S> {
  try {
    return fromJson(schema, value as JsonValue)
  } catch {
    // As above.
    throw unreadable(`${what} is no ${schema.name}`)
  }
}

function bytesOf(hex: string, what: string): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(hex)
  if (!bytes) throw unreadable(`${what} is no hex`)
  return bytes
}

function unreadable(reason: string): TrustedPodsError {
  return new TrustedPodsError('PLATFORM_STATE', `the lease cannot be read: ${reason}`)
}
