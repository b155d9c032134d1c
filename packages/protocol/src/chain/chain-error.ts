/** Failures of a chain as closed codes: what a contract refused, what a node refused, and what is not known. Pure. */
import { type Abi, BaseError, decodeErrorResult, type Hex, isHex, RpcRequestError } from 'viem'
import { type ErrorCode, TrustedPodsError, toTrustedPodsError } from '../errors.ts'

/** Custom errors of our contracts and of ERC-20 tokens (ERC-6093) whose meaning is not just "the transaction failed". */
const CONTRACT_ERRORS: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ['BadTerms', 'CHANNEL_BAD_TERMS'],
  ['TokenShort', 'CHANNEL_BAD_TERMS'],
  ['AlreadyOpen', 'CHANNEL_IN_USE'],
  ['NotOpen', 'CHANNEL_NOT_FOUND'],
  ['NotAuthorized', 'CHANNEL_WALLET'],
  ['BadSignature', 'CHANNEL_SIGNATURE'],
  ['Expired', 'CHANNEL_SIGNATURE'],
  ['ZeroAmount', 'CHANNEL_NO_FUNDS'],
  ['OverDeposit', 'CHANNEL_UNDERFUNDED'],
  ['OverCredit', 'CHANNEL_NO_FUNDS'],
  ['ERC20InsufficientBalance', 'CHANNEL_NO_FUNDS'],
  ['ERC20InsufficientAllowance', 'CHANNEL_NO_FUNDS'],
  ['ERC3009InvalidSignature', 'CHANNEL_SIGNATURE'],
  ['ERC3009InvalidAuthorizationTime', 'CHANNEL_SIGNATURE'],
  ['ERC3009UsedAuthorization', 'CHANNEL_SIGNATURE'],
  ['BadRecordLength', 'CHANNEL_REGISTRY_RECORD'],
])

/** The value of a read; a failure is CHANNEL_RPC_UNAVAILABLE, for a read that fails says nothing about the chain. */
export async function fromChain<T>(what: string, read: Promise<T>): Promise<T> {
  try {
    return await read
  } catch (error) {
    throw unavailable(what, error)
  }
}

/** The error of a simulated or mined call: the contract's own word where there is one, else "not known". */
export function toCallError(what: string, error: unknown, abi: Abi): TrustedPodsError {
  if (error instanceof TrustedPodsError) return error
  const data = revertData(error)
  if (data === undefined && !isRevert(error)) return unavailable(what, error)
  const { name, args } = decodeRevert(data, abi)
  const code = CONTRACT_ERRORS.get(name) ?? 'CHANNEL_TRANSACTION_FAILED'
  return new TrustedPodsError(code, `${what} was refused by the contract: ${name}(${args.map(String).join(', ')})`, {
    cause: error,
  })
}

/** The error of handing over a transaction: a node that answered has refused it, else nothing is known. */
export function toSendError(what: string, error: unknown): TrustedPodsError {
  if (error instanceof TrustedPodsError) return error
  const answer = error instanceof BaseError ? error.walk((e) => e instanceof RpcRequestError) : null
  if (!(answer instanceof RpcRequestError)) return unavailable(what, error)
  return new TrustedPodsError('CHANNEL_TRANSACTION_FAILED', `${what} was refused by the node: ${answer.details}`, {
    cause: error,
  })
}

/** Only the short message: the long one holds the URL, and with it often a key. */
function unavailable(what: string, error: unknown): TrustedPodsError {
  if (!(error instanceof BaseError)) return toTrustedPodsError(error, 'CHANNEL_RPC_UNAVAILABLE')
  return new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', `${what} failed: ${error.shortMessage}`, { cause: error })
}

function isRevert(error: unknown): boolean {
  return (
    error instanceof BaseError && error.walk((e) => e instanceof Error && e.name === 'ExecutionRevertedError') !== null
  )
}

function revertData(error: unknown): Hex | undefined {
  if (!(error instanceof BaseError)) return undefined
  const holder = error.walk((e) => isHex((e as { data?: unknown }).data))
  const data = (holder as { data?: unknown } | null)?.data
  return isHex(data) && data !== '0x' ? data : undefined
}

function decodeRevert(data: Hex | undefined, abi: Abi): { name: string; args: readonly unknown[] } {
  if (data === undefined) return { name: 'revert', args: [] }
  try {
    const { errorName, args } = decodeErrorResult({ abi, data })
    return { name: errorName, args: args ?? [] }
  } catch {
    // A token's error that no ABI of ours knows: its selector is all that can be said.
    return { name: data.slice(0, 10), args: [] }
  }
}
