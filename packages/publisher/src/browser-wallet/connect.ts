/**
 * A browser wallet as our signer (EIP-1193, EIP-3085, EIP-3326): the person's account on our chain, and an end to it as soon as the
 * wallet is on another account or chain. Spec: spec/PAYMENT.md#accounts.
 */
import {
  type ExternalSigner,
  externalSigner,
  type RequestProvider,
} from '@trusted-pods/protocol/chain/external-signer.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import { type Address, getAddress, isAddress, isAddressEqual, isHex, numberToHex } from 'viem'
import type { BrowserWallet, WalletProvider } from './announcement.ts'

/** Our chain, in the words in which a wallet is asked to add it. */
export interface WalletChain {
  readonly chainId: number
  readonly name: string
  /** Where a wallet that does not know the chain finds it; without them it is not added. */
  readonly rpc?: readonly string[]
  readonly coin?: { readonly name: string; readonly symbol: string; readonly decimals: number }
}

export interface ConnectWalletOptions {
  readonly chain: WalletChain
  /** The account wanted; the wallet's first one unless given. */
  readonly account?: Address
  readonly signal?: AbortSignal
}

export interface ConnectedWallet extends Disposable {
  readonly address: Address
  /** For `connectChain`. Refuses once `left` has aborted, and when the wallet is on another chain. */
  readonly signer: ExternalSigner
  /** Aborts when the wallet leaves this account or chain, or loses its connection; its reason is a TrustedPodsError. */
  readonly left: AbortSignal
}

/** EIP-1193: the chain has not been added to the wallet. */
const UNKNOWN_CHAIN = 4902
const ETHER = { name: 'Ether', symbol: 'ETH', decimals: 18 }

/** Asks the person for an account and the chain. @throws TrustedPodsError CHANNEL_WALLET when refused, CHANNEL_WRONG_CHAIN. */
export async function connectWallet(
  { provider, name }: BrowserWallet,
  { chain, account, signal }: ConnectWalletOptions,
): Promise<ConnectedWallet> {
  const ask = asker(provider, { name, signal })
  const address = chooseAccount(await ask('eth_requestAccounts'), { name, account })
  await switchChain(ask, { chain, name })
  const leaving = watchLeaving(provider, { address, chain, name })
  const guarded: RequestProvider = {
    async request(call) {
      leaving.signal.throwIfAborted()
      if (call.method === 'eth_sendTransaction') await requireChain(ask, { chain, name })
      leaving.signal.throwIfAborted()
      return await provider.request(call)
    },
  }
  return {
    address,
    signer: externalSigner(guarded, address),
    left: leaving.signal,
    [Symbol.dispose]: leaving.stop,
  }
}

type Ask = (method: string, params?: readonly unknown[]) => Promise<unknown>

function asker(provider: WalletProvider, { name, signal }: { name: string; signal?: AbortSignal | undefined }): Ask {
  return async (method, params) => {
    signal?.throwIfAborted()
    const aborted = Promise.withResolvers<never>()
    const onAbort = () => aborted.reject(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([provider.request({ method, ...(params && { params }) }), aborted.promise])
    } catch (cause) {
      if (signal?.aborted) throw cause
      throw new TrustedPodsError('CHANNEL_WALLET', `${name} refuses ${method}: ${reasonOf(cause)}`, { cause })
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }
}

function chooseAccount(answer: unknown, { name, account }: { name: string; account?: Address | undefined }): Address {
  const accounts = addressesIn(answer)
  const chosen = account === undefined ? accounts[0] : accounts.find((one) => isAddressEqual(one, account))
  if (chosen !== undefined) return chosen
  const wanted = account === undefined ? 'an account' : `account ${account}`
  throw new TrustedPodsError('CHANNEL_WALLET', `${name} shows this page ${accounts.length} accounts, wanted ${wanted}`)
}

async function switchChain(ask: Ask, { chain, name }: { chain: WalletChain; name: string }): Promise<void> {
  if ((await chainOf(ask)) === chain.chainId) return
  const chainId = numberToHex(chain.chainId)
  try {
    await ask('wallet_switchEthereumChain', [{ chainId }])
  } catch (error) {
    if (!isUnknownChain(error) || !chain.rpc?.length) throw error
    const { name: chainName, rpc: rpcUrls, coin: nativeCurrency = ETHER } = chain
    await ask('wallet_addEthereumChain', [{ chainId, chainName, rpcUrls, nativeCurrency }])
    // Some wallets go there at once, some wait to be asked.
    if ((await chainOf(ask)) !== chain.chainId) await ask('wallet_switchEthereumChain', [{ chainId }])
  }
  await requireChain(ask, { chain, name })
}

/** A wallet sends on the chain that it is on, whatever was agreed before. */
async function requireChain(ask: Ask, { chain, name }: { chain: WalletChain; name: string }): Promise<void> {
  const seen = await chainOf(ask)
  if (seen !== chain.chainId) throw elsewhere(name, seen, chain)
}

async function chainOf(ask: Ask): Promise<number> {
  return toChainId(await ask('eth_chainId'))
}

function watchLeaving(
  provider: WalletProvider,
  { address, chain, name }: { address: Address; chain: WalletChain; name: string },
): { signal: AbortSignal; stop: () => void } {
  const left = new AbortController()
  const listeners: Record<string, (value: unknown) => void> = {
    accountsChanged: (value) => {
      // Wallets put the chosen account first.
      const [first] = addressesIn(value)
      if (first === undefined || !isAddressEqual(first, address))
        left.abort(new TrustedPodsError('CHANNEL_WALLET', `${name} left account ${address}`))
    },
    chainChanged: (value) => {
      const seen = toChainId(value)
      if (seen !== chain.chainId) left.abort(elsewhere(name, seen, chain))
    },
    disconnect: () => left.abort(new TrustedPodsError('CHANNEL_WALLET', `${name} has lost its connection`)),
  }
  for (const [event, listener] of Object.entries(listeners)) provider.on?.(event, listener)
  const stop = () => {
    for (const [event, listener] of Object.entries(listeners)) provider.removeListener?.(event, listener)
  }
  return { signal: left.signal, stop }
}

function elsewhere(name: string, seen: number, { chainId }: WalletChain): TrustedPodsError {
  return new TrustedPodsError('CHANNEL_WRONG_CHAIN', `${name} is on chain ${seen}, wanted ${chainId}`)
}

/** A wallet's answer is data: what is no address is left out. */
function addressesIn(value: unknown): Address[] {
  return Array.isArray(value)
    ? value.flatMap((one) => (isAddress(one, { strict: false }) ? [getAddress(one)] : []))
    : []
}

/** NaN: the wallet said something else. */
function toChainId(value: unknown): number {
  return isHex(value) && value.length <= 16 ? Number(value) : Number.NaN
}

function isUnknownChain(error: unknown): boolean {
  const cause = error instanceof TrustedPodsError ? error.cause : error
  return (cause as { code?: unknown } | undefined)?.code === UNKNOWN_CHAIN
}

function reasonOf(cause: unknown): string {
  const message = (cause as { message?: unknown } | undefined)?.message
  return boundText(typeof message === 'string' ? message : 'no reason given')
}
