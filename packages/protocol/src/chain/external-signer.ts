/**
 * An account whose key another program has: a browser wallet (EIP-1193), or a signer behind JSON-RPC such as clef. It signs typed
 * data, and it sends transactions itself, with nonces and fees of its own. Spec: spec/PAYMENT.md#accounts.
 */
import {
  type Address,
  type EIP1193Provider,
  getAddress,
  type Hex,
  http,
  isHex,
  type LocalAccount,
  numberToHex,
} from 'viem'
import { toAccount } from 'viem/accounts'
import { TrustedPodsError } from '../errors.ts'

/** What is needed of an EIP-1193 provider. */
export type RequestProvider = { request(call: { method: string; params?: unknown }): Promise<unknown> }

export interface ExternalSigner {
  /** Signs typed data only. */
  readonly account: LocalAccount
  sendTransaction(transaction: ExternalTransaction): Promise<Hex>
}

export interface ExternalTransaction {
  readonly to: Address | undefined
  readonly data: Hex
  readonly gas: bigint
}

/** A person may have to find their device and read what it shows. */
const SIGN_TIMEOUT_MS = 300_000

/** @param provider what a browser wallet announces by EIP-6963, or any other EIP-1193 provider. */
export function externalSigner(provider: RequestProvider | EIP1193Provider, address: Address): ExternalSigner {
  const wallet = provider as RequestProvider
  const ask = async (what: string, method: string, params: unknown): Promise<Hex> => {
    // As a method of its own: not every wallet has bound it.
    const answer = await wallet.request({ method, params }).catch((cause: unknown) => {
      throw new TrustedPodsError('CHANNEL_WALLET', `the signer of ${address} refuses ${what}: ${reasonOf(cause)}`, {
        cause,
      })
    })
    if (isHex(answer)) return answer
    throw new TrustedPodsError('CHANNEL_WALLET', `the signer of ${address} gave no hex for ${what}`)
  }
  const never = () =>
    Promise.reject(new TrustedPodsError('CHANNEL_WALLET', 'an external signer sends its transactions itself'))
  const account = toAccount({
    address: getAddress(address),
    signMessage: never,
    signTransaction: never,
    signTypedData: (typed) =>
      ask('a signature', 'eth_signTypedData_v4', [
        address,
        JSON.stringify(withDomainType(typed as TypedData), bigintsAsText),
      ]),
  })
  const sendTransaction = ({ to, data, gas }: ExternalTransaction) =>
    ask('a transaction', 'eth_sendTransaction', [{ from: address, data, gas: numberToHex(gas), ...(to && { to }) }])
  return { account, sendTransaction }
}

/** A signer that answers JSON-RPC over HTTP. */
export function signerAt(url: string, address: Address): ExternalSigner {
  const { request } = http(url, { timeout: SIGN_TIMEOUT_MS, retryCount: 0 })({})
  return externalSigner({ request: request as RequestProvider['request'] }, address)
}

const DOMAIN_FIELDS = [
  ['name', 'string'],
  ['version', 'string'],
  ['chainId', 'uint256'],
  ['verifyingContract', 'address'],
] as const

interface TypedData {
  readonly domain?: unknown
  readonly types?: unknown
}

/** Wallets want the domain's own type spelled out. */
function withDomainType(typed: TypedData) {
  const domain = (typed.domain ?? {}) as Record<string, unknown>
  const fields = DOMAIN_FIELDS.filter(([name]) => domain[name] !== undefined).map(([name, type]) => ({ name, type }))
  return { ...typed, types: { EIP712Domain: fields, ...(typed.types as object) } }
}

function bigintsAsText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

function reasonOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String((cause as { message?: unknown })?.message ?? cause)).slice(
    0,
    200,
  )
}
