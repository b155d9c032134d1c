/**
 * What is owed for a pod so far, signed by the attested meter key; the provider claims with it, the publisher checks it by
 * pricing the usage again. Spec: spec/PAYMENT.md#receipt. Pure.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type Hex, hashTypedData, type LocalAccount } from 'viem'
import { equalBytes, fromHex, sha256, toHex } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import { type Counter, type Receipt, ReceiptSchema, type Usage, UsageSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import { type Price, PriceKind, type PricingTable } from '../gen/trustedpods/v0/pricing_pb.ts'
import { cost, counters, type ResourceAmount } from '../pricing/price.ts'
import { toSignatureBytes, verifySignature } from './signature.ts'
import { type ChannelTerms, channelId } from './terms.ts'
import { type EscrowRef, escrowDomain, RECEIPT_TYPES } from './typed-data.ts'

export interface SignReceiptOptions extends EscrowRef {
  /** The meter key. */
  readonly account: LocalAccount
  readonly terms: ChannelTerms
  readonly table: PricingTable
  /** Ask for no more than this: the cap at the next block, or the deposit. */
  readonly atMost?: bigint
}

export interface VerifyReceiptOptions extends EscrowRef {
  readonly terms: ChannelTerms
  /** The price table agreed on in the quote. */
  readonly table: PricingTable
  /** What was reserved; with it every counter is computed again from the running time. */
  readonly resources?: readonly ResourceAmount[]
  /** The receipt before this one: neither its sum nor its running time may be undercut. */
  readonly previous?: VerifiedReceipt
  /** The longest that the pod can have run; a receipt for more is refused. */
  readonly maxRunningSeconds?: bigint
}

export interface VerifiedReceipt {
  /** Base units owed since the start. */
  readonly cumulative: bigint
  readonly usage: Usage
}

const UINT128_MAX = 2n ** 128n - 1n

/** A receipt over what the usage costs by the table, or over `atMost` where that is less. */
export async function signReceipt(usage: Usage, options: SignReceiptOptions): Promise<Receipt> {
  const bytes = toBinary(UsageSchema, usage)
  const owed = cost(options.table, usage.counters)
  const cumulative = options.atMost !== undefined && options.atMost < owed ? options.atMost : owed
  const id = channelId(options.terms, options)
  const usageHash = await sha256(bytes)
  const signature = await options.account.signTypedData(typedReceipt({ id, cumulative, usageHash }, options))
  return create(ReceiptSchema, {
    channelId: fromHex(id) ?? new Uint8Array(),
    cumulative: cumulative.toString(),
    usageHash,
    signature: toSignatureBytes(signature),
    usage: bytes,
  })
}

/**
 * Proves a receipt: for this channel and pod, by its meter key, over exactly this usage, and not above what the usage costs. It may
 * ask for less: a meter stops at the cap and at the deposit.
 * @throws TrustedPodsError CHANNEL_RECEIPT_INVALID saying which of these does not hold.
 */
export async function verifyReceipt(receipt: Receipt, options: VerifyReceiptOptions): Promise<VerifiedReceipt> {
  const id = channelId(options.terms, options)
  if (toHex(receipt.channelId) !== id.slice(2)) invalid('it is for another channel')
  const usageHash = await sha256(receipt.usage)
  if (!equalBytes(usageHash, receipt.usageHash)) invalid('its usage has another SHA-256 than it says')
  const cumulative = parseCumulative(receipt.cumulative)
  const hash = hashTypedData(typedReceipt({ id, cumulative, usageHash }, options))
  const expected = { signer: options.terms.meter, code: 'CHANNEL_RECEIPT_INVALID', what: 'the receipt' } as const
  await verifySignature(hash, receipt.signature, expected)
  const usage = decodeUsage(receipt.usage)
  checkUsage(usage, options)
  checkCumulative(cumulative, usage, options)
  return { cumulative, usage }
}

function typedReceipt(
  { id, cumulative, usageHash }: { id: Hex; cumulative: bigint; usageHash: Uint8Array },
  escrow: EscrowRef,
) {
  const message = { channelId: id, cumulative, usageHash: `0x${toHex(usageHash)}` as const }
  return { domain: escrowDomain(escrow), types: RECEIPT_TYPES, primaryType: 'Receipt', message } as const
}

function checkUsage(
  usage: Usage,
  { terms, table, resources, previous, maxRunningSeconds }: VerifyReceiptOptions,
): void {
  const seconds = usage.runningSeconds
  if (toHex(usage.podId) !== terms.podId.slice(2).toLowerCase()) invalid('its usage is of another pod')
  if (maxRunningSeconds !== undefined && seconds > maxRunningSeconds)
    invalid(`it counts ${seconds} s, at most ${maxRunningSeconds} s`)
  if (previous !== undefined && seconds < previous.usage.runningSeconds) {
    invalid(`it counts ${seconds} s, the one before counted ${previous.usage.runningSeconds} s`)
  }
  checkLines(usage, table)
  // Used without end: what the counters can be at most.
  const most = resources && counters(resources, table, seconds, { usage: withoutEnd(resources) })
  if (most !== undefined) checkCounters(usage, most, table)
  checkUsed(usage, table, previous?.usage)
}

/** Each counter is of one line, and each line is counted once: two counters of a line would be paid twice. */
function checkLines({ counters }: Usage, table: PricingTable): void {
  const seen = new Set<string>()
  for (const counter of counters) {
    const name = describeCounter(counter)
    if (priceOf(table, counter) === undefined) invalid(`it counts ${name}, which has no price`)
    if (seen.has(name)) invalid(`it counts ${name} twice`)
    seen.add(name)
  }
}

/** What is reserved follows from the time alone, and a pod starts once; what is used the meter says, within the allowance of that time. */
function checkCounters(usage: Usage, most: readonly Counter[], table: PricingTable): void {
  for (const counter of usage.counters) {
    const name = describeCounter(counter)
    const limit = most.find((own) => describeCounter(own) === name)?.value ?? '0'
    const value = counter.value.slice(0, 80)
    if (priceOf(table, counter)?.kind === PriceKind.USAGE) {
      if (countOf(counter) > BigInt(limit)) invalid(`${name} counts ${value}, the allowance gives ${limit} at most`)
    } else if (counter.value !== limit) invalid(`${name} counts ${value}, the reservation gives ${limit}`)
  }
}

/** What was used is never less than before. */
function checkUsed(usage: Usage, table: PricingTable, previous: Usage | undefined): void {
  for (const before of previous?.counters ?? []) {
    if (priceOf(table, before)?.kind !== PriceKind.USAGE) continue
    const name = describeCounter(before)
    const now = usage.counters.find((counter) => describeCounter(counter) === name)
    if (now === undefined || countOf(now) < countOf(before))
      invalid(
        `${name} counts ${now?.value.slice(0, 80) ?? 'nothing'}, the one before counted ${before.value.slice(0, 80)}`,
      )
  }
}

function countOf({ value }: Counter): bigint {
  return /^[0-9]{1,78}$/.test(value) ? BigInt(value) : invalid('a counter is not 1 to 78 digits')
}

function withoutEnd(resources: readonly ResourceAmount[]): ResourceAmount[] {
  return resources.map(({ name, selector }) => ({ name, selector, quantity: UINT128_MAX }))
}

function priceOf(table: PricingTable, { resource, selector }: Counter): Price | undefined {
  return table.prices.find((line) => line.resource === resource && line.selector === selector)
}

function describeCounter({ resource, selector }: Counter): string {
  return selector === '' ? resource.slice(0, 128) : `${resource.slice(0, 128)} (${selector.slice(0, 128)})`
}

function checkCumulative(cumulative: bigint, usage: Usage, { table, previous }: VerifyReceiptOptions): void {
  const owed = cost(table, usage.counters)
  if (cumulative > owed) invalid(`it asks for ${cumulative}, its usage costs ${owed}`)
  if (previous !== undefined && cumulative < previous.cumulative)
    invalid(`it asks for ${cumulative}, the one before for ${previous.cumulative}`)
}

function parseCumulative(digits: string): bigint {
  if (!/^(0|[1-9][0-9]{0,38})$/.test(digits) || BigInt(digits) > UINT128_MAX)
    invalid('its sum is no number below 2^128')
  return BigInt(digits)
}

function decodeUsage(bytes: Uint8Array): Usage {
  try {
    return fromBinary(UsageSchema, bytes)
  } catch (cause) {
    throw new TrustedPodsError(
      'CHANNEL_RECEIPT_INVALID',
      `the receipt's ${bytes.length} bytes of usage are no Usage message`,
      { cause },
    )
  }
}

function invalid(message: string): never {
  throw new TrustedPodsError('CHANNEL_RECEIPT_INVALID', `the receipt is refused: ${message}`)
}
