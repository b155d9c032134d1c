/** An account that sends transactions: one at a time, each remembered until it is mined. */
import type { LocalAccount } from 'viem'
import type { ExternalSigner } from './external-signer.ts'
import { memoryOutbox, type OutboxStore } from './outbox.ts'

export interface Wallet {
  readonly account: LocalAccount
  readonly outbox: OutboxStore
  /** Set where another program has the key, and with it the nonces. */
  readonly external?: ExternalSigner
  /** Nonces that somebody in this process waits for. */
  readonly awaited: Set<number>
  /** Runs `send` after every send before it has ended, well or badly. */
  inTurn<T>(send: () => Promise<T>): Promise<T>
}

export function createWallet(signer: LocalAccount | ExternalSigner, outbox: OutboxStore = memoryOutbox()): Wallet {
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(send: () => Promise<T>): Promise<T> => {
    const sent = last.then(send)
    // Whoever asked for a send hears of its failure; the next one only waits for its end.
    last = sent.catch(() => undefined)
    return sent
  }
  const common = { outbox, awaited: new Set<number>(), inTurn }
  return 'sendTransaction' in signer
    ? { account: signer.account, external: signer, ...common }
    : { account: signer, ...common }
}
