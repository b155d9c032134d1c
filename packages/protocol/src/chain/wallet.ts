/** An account that sends transactions: one at a time, so that a failed send leaves no gap of nonces behind it. */
import type { LocalAccount, NonceManager } from 'viem'
import { createNonceManager, jsonRpc } from 'viem/nonce'

export interface Wallet {
  readonly account: LocalAccount
  readonly nonces: NonceManager
  /** Runs `send` after every send before it has ended, well or badly. */
  inTurn<T>(send: () => Promise<T>): Promise<T>
}

export function createWallet(account: LocalAccount): Wallet {
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(send: () => Promise<T>): Promise<T> => {
    const sent = last.then(send)
    // Whoever asked for a send hears of its failure; the next one only waits for its end.
    last = sent.catch(() => undefined)
    return sent
  }
  return { account, nonces: createNonceManager({ source: jsonRpc() }), inTurn }
}
