/** EVM addresses between the wire (20 bytes) and TypeScript (checksummed 0x text). Pure. */
import { type Address, getAddress } from 'viem'
import { fromHex, toHex } from '../bytes.ts'
import { type ErrorCode, TrustedPodsError } from '../errors.ts'

export const ZERO_ADDRESS: Address = '0x0000000000000000000000000000000000000000'

/**
 * The checksummed form of 20 bytes or of 0x text.
 * @throws TrustedPodsError with `code`, CHANNEL_BAD_TERMS by default, when it is no address.
 */
export function toAddress(address: Uint8Array | string, code: ErrorCode = 'CHANNEL_BAD_TERMS'): Address {
  const bytes = typeof address === 'string' ? fromHex(address) : address
  if (bytes?.length !== 20) {
    throw new TrustedPodsError(code, `an EVM address has 20 bytes, got ${describeBytes(address)}`)
  }
  return getAddress(`0x${toHex(bytes)}`)
}

/** The 20 bytes of an address. */
export function fromAddress(address: Address): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(address)
  if (bytes?.length !== 20) throw new TrustedPodsError('CHANNEL_BAD_TERMS', `${address.slice(0, 64)} is no EVM address`)
  return bytes
}

function describeBytes(address: Uint8Array | string): string {
  return typeof address === 'string' ? JSON.stringify(address.slice(0, 64)) : `${address.length} bytes`
}
