/** The payer's word that the escrow may draw tokens for one channel, to and from the wire. Spec: spec/PAYMENT.md#relay. Pure. */
import { create } from '@bufbuild/protobuf'
import { encodeAbiParameters, type Hex, keccak256 } from 'viem'
import { fromHex, toHex } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'
import { type TransferAuthorization as Message, TransferAuthorizationSchema } from '../gen/trustedpods/v0/payment_pb.ts'

/** An EIP-3009 authorization whose nonce ties it to one channel: it can be sent by anybody, used once, and pays for nothing else. */
export interface TransferAuthorization {
  /** Base units. */
  readonly amount: bigint
  /** Unix seconds from which it can no longer be used. */
  readonly validBefore: bigint
  readonly salt: Hex
  /** r, s, v. */
  readonly signature: Hex
}

const SALT_BYTES = 32
const SIGNATURE_BYTES = 65
const UINT128_MAX = 2n ** 128n - 1n

/** The nonce that the token keeps: Keccak-256 of the channel id and the salt. */
export function authorizationNonce(channelId: Hex, salt: Hex): Hex {
  return keccak256(encodeAbiParameters([{ type: 'bytes32' }, { type: 'bytes32' }], [channelId, salt]))
}

export function toProtoFunding({ amount, validBefore, salt, signature }: TransferAuthorization): Message {
  return create(TransferAuthorizationSchema, {
    amount: amount.toString(),
    validBefore,
    salt: fromHex(salt) ?? new Uint8Array(),
    signature: fromHex(signature) ?? new Uint8Array(),
  })
}

/** @throws TrustedPodsError CHANNEL_BAD_AMOUNT, CHANNEL_SIGNATURE when a part has another form. */
export function fromProtoFunding({ amount, validBefore, salt, signature }: Message): TransferAuthorization {
  if (!/^[1-9][0-9]{0,38}$/.test(amount) || BigInt(amount) > UINT128_MAX)
    throw new TrustedPodsError('CHANNEL_BAD_AMOUNT', `${JSON.stringify(amount.slice(0, 40))} is no sum above 0`)
  if (salt.length !== SALT_BYTES || signature.length !== SIGNATURE_BYTES) {
    throw new TrustedPodsError(
      'CHANNEL_SIGNATURE',
      `the authorization has ${salt.length} bytes of salt and ${signature.length} of signature, wanted ${SALT_BYTES} and ${SIGNATURE_BYTES}`,
    )
  }
  return { amount: BigInt(amount), validBefore, salt: `0x${toHex(salt)}`, signature: `0x${toHex(signature)}` }
}
