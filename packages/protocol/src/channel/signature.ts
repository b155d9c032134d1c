/**
 * secp256k1 signatures over typed data, in the one form that the contracts accept: r, s, v with a low s and v 27 or 28.
 * What passes here passes on chain too. Spec: spec/PAYMENT.md#signatures. Pure.
 */
import { type Address, type Hex, isAddressEqual, recoverAddress } from 'viem'
import { fromHex, toHex } from '../bytes.ts'
import { type ErrorCode, TrustedPodsError } from '../errors.ts'

export const SIGNATURE_BYTES = 65

/** Half the order of secp256k1: a higher s is the other half of a malleable pair (EIP-2). */
const MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n

export interface ExpectedSigner {
  readonly signer: Address
  /** What is thrown otherwise. */
  readonly code: ErrorCode
  /** What was signed, for the message: "the receipt". */
  readonly what: string
}

/** The 65 bytes of a signature that a viem account made. */
export function toSignatureBytes(signature: Hex): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(signature)
  if (bytes?.length !== SIGNATURE_BYTES)
    throw new TrustedPodsError('CHANNEL_WALLET', 'the wallet gave no 65-byte signature')
  return bytes
}

/**
 * Proves that `signer` signed the EIP-712 hash.
 * @throws TrustedPodsError with `code` when the form is wrong or another key signed.
 */
export async function verifySignature(hash: Hex, signature: Uint8Array, expected: ExpectedSigner): Promise<void> {
  const { signer, code, what } = expected
  if (signature.length !== SIGNATURE_BYTES) {
    throw new TrustedPodsError(
      code,
      `the signature of ${what} has ${signature.length} bytes, wanted ${SIGNATURE_BYTES}`,
    )
  }
  const v = signature[64]
  if ((v !== 27 && v !== 28) || BigInt(`0x${toHex(signature.subarray(32, 64))}`) > MAX_S) {
    throw new TrustedPodsError(
      code,
      `the signature of ${what} is not in the form that the chain accepts (low s, v 27 or 28)`,
    )
  }
  const seen = await recover(hash, signature, expected)
  if (!isAddressEqual(seen, signer)) throw new TrustedPodsError(code, `${what} was signed by ${seen}, wanted ${signer}`)
}

async function recover(hash: Hex, signature: Uint8Array, { code, what }: ExpectedSigner): Promise<Address> {
  try {
    return await recoverAddress({ hash, signature })
  } catch (cause) {
    throw new TrustedPodsError(code, `the signature of ${what} belongs to no key`, { cause })
  }
}
