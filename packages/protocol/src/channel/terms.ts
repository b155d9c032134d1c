/** The immutable terms of a payment channel and its id, their EIP-712 hash. Spec: spec/PAYMENT.md#terms. Pure. */
import { create } from '@bufbuild/protobuf'
import { type Address, type Hex, hashTypedData } from 'viem'
import { fromHex, toHex } from '../bytes.ts'
import { fromAddress, toAddress } from '../chain/address.ts'
import { TrustedPodsError } from '../errors.ts'
import { type Terms, TermsSchema } from '../gen/trustedpods/v0/payment_pb.ts'
import { type EscrowRef, escrowDomain, TERMS_TYPES } from './typed-data.ts'

/** The contract's struct, field for field. */
export interface ChannelTerms {
  readonly payer: Address
  /** Signs vouchers for the payer; the zero address: the payer itself. */
  readonly voucherSigner: Address
  readonly provider: Address
  /** Signs receipts; the zero address: nobody, the provider then claims by itself. */
  readonly meter: Address
  readonly token: Address
  /** Base units per 3600 s that receipts may claim; below 2^96. */
  readonly ratePerHour: bigint
  /** Seconds between a close request and the refund. */
  readonly unlockDelay: number
  /** 32 random bytes, used for one pod only. */
  readonly podId: Hex
}

/** The escrow refuses terms outside of this: 15 minutes to 30 days. */
export const MIN_UNLOCK_DELAY_SECONDS = 15 * 60
export const MAX_UNLOCK_DELAY_SECONDS = 30 * 24 * 3600
const UINT96_MAX = 2n ** 96n - 1n

/** The channel's id: the terms, bound to the chain and the contract. */
export function channelId(terms: ChannelTerms, escrow: EscrowRef): Hex {
  return hashTypedData({ domain: escrowDomain(escrow), types: TERMS_TYPES, primaryType: 'Terms', message: terms })
}

export function toProtoTerms(terms: ChannelTerms): Terms {
  return create(TermsSchema, {
    payer: fromAddress(terms.payer),
    voucherSigner: fromAddress(terms.voucherSigner),
    provider: fromAddress(terms.provider),
    meter: fromAddress(terms.meter),
    token: fromAddress(terms.token),
    ratePerHour: terms.ratePerHour.toString(),
    unlockDelaySeconds: terms.unlockDelay,
    podId: bytes32(terms.podId),
  })
}

/** @throws TrustedPodsError CHANNEL_BAD_TERMS when a field has another size or the rate is no number below 2^96. */
export function fromProtoTerms(terms: Terms): ChannelTerms {
  if (terms.podId.length !== 32)
    throw new TrustedPodsError('CHANNEL_BAD_TERMS', `the pod id has ${terms.podId.length} bytes, wanted 32`)
  return {
    payer: toAddress(terms.payer),
    voucherSigner: toAddress(terms.voucherSigner),
    provider: toAddress(terms.provider),
    meter: toAddress(terms.meter),
    token: toAddress(terms.token),
    ratePerHour: parseUnits96(terms.ratePerHour),
    unlockDelay: terms.unlockDelaySeconds,
    podId: `0x${toHex(terms.podId)}`,
  }
}

function parseUnits96(digits: string): bigint {
  if (!/^(0|[1-9][0-9]{0,28})$/.test(digits) || BigInt(digits) > UINT96_MAX) {
    throw new TrustedPodsError(
      'CHANNEL_BAD_TERMS',
      `the rate per hour is no decimal number below 2^96: ${JSON.stringify(digits.slice(0, 40))}`,
    )
  }
  return BigInt(digits)
}

function bytes32(hex: Hex): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(hex)
  if (bytes?.length !== 32) throw new TrustedPodsError('CHANNEL_BAD_TERMS', 'a pod id has 32 bytes')
  return bytes
}
