/**
 * Wallets of a page, as extensions put them there: they announce themselves by EIP-6963, hold accounts whose keys anvil has, are on
 * a chain of their own until they are asked away from it, and let a test play the person.
 */
interface Call {
  method: string
  params?: readonly unknown[]
}

export class TestWallet {
  readonly asked: string[] = []
  readonly #listeners = new Map<string, Set<(value: unknown) => void>>()
  readonly #rpc: string
  chainId = 1
  accounts: string[]
  readonly known = new Set([1])
  /** What the person says no to. */
  refuses: string | undefined

  constructor(rpc: string, accounts: string[]) {
    this.#rpc = rpc
    this.accounts = accounts
  }

  request = async ({ method, params = [] }: Call): Promise<unknown> => {
    this.asked.push(method)
    if (method === this.refuses) throw Object.assign(new Error('User rejected the request.'), { code: 4001 })
    switch (method) {
      case 'eth_requestAccounts':
        return this.accounts
      case 'eth_chainId':
        return `0x${this.chainId.toString(16)}`
      case 'wallet_switchEthereumChain':
        return this.#switchTo(params)
      case 'wallet_addEthereumChain':
        this.known.add(chainIn(params))
        return null
      default:
        return await this.#forward(method, params)
    }
  }

  on = (event: string, listener: (value: unknown) => void): void => {
    const listeners = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, listeners.add(listener))
  }

  removeListener = (event: string, listener: (value: unknown) => void): void => {
    this.#listeners.get(event)?.delete(listener)
  }

  emit(event: string, value: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(value)
  }

  get listening(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0)
  }

  #switchTo(params: readonly unknown[]): null {
    const chainId = chainIn(params)
    if (!this.known.has(chainId)) throw Object.assign(new Error('Unrecognized chain ID'), { code: 4902 })
    this.chainId = chainId
    this.emit('chainChanged', `0x${chainId.toString(16)}`)
    return null
  }

  async #forward(method: string, params: readonly unknown[]): Promise<unknown> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
    const answer = await fetch(this.#rpc, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const { result, error } = await answer.json()
    if (error) throw Object.assign(new Error(error.message), { code: error.code })
    return result
  }
}

function chainIn([first]: readonly unknown[]): number {
  return Number((first as { chainId: string }).chainId)
}

export interface Announced {
  info: unknown
  provider: unknown
}

/** Says it once, as an extension that loads late; or again whenever the page asks. */
export function announce(detail: Announced, { onRequest = true } = {}): void {
  const say = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: Object.freeze(detail) }))
  if (onRequest) window.addEventListener('eip6963:requestProvider', say)
  say()
}
