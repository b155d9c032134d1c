/**
 * The transactions of an account that may still be mined. Each is stored with its nonce and its signed bytes before any node has
 * it: whatever dies in between, the same transaction is sent again and no other takes its place. Spec: spec/PAYMENT.md#outbox.
 */
import type { Address, Hex } from 'viem'

/** One signing of a transaction; a later one pays more for gas under the same nonce. */
export interface OutboxAttempt {
  readonly hash: Hex
  /** The signed transaction. */
  readonly raw: Hex
  readonly maxFeePerGas: bigint
  readonly maxPriorityFeePerGas: bigint
  readonly signedAtMs: number
}

export interface OutboxEntry {
  readonly nonce: number
  /** For messages: "opening the channel". */
  readonly what: string
  /** What it is for, where the same thing can be put in other words: a permit is signed anew each time. */
  readonly intent?: string
  /** Undefined: creates a contract. */
  readonly to: Address | undefined
  readonly data: Hex
  readonly gas: bigint
  /** Oldest first, at least one; any of them may be the one that is mined. */
  readonly attempts: readonly OutboxAttempt[]
}

/** Whose transactions. */
export interface OutboxAccount {
  readonly chainId: number
  readonly address: Address
}

/** Where transactions survive the process; shared by every process that sends from the account on this machine. */
export interface OutboxStore {
  /** By nonce, the lowest first. */
  load(account: OutboxAccount): Promise<readonly OutboxEntry[]>
  /** Durable when it returns; false, and nothing stored, when the nonce is taken. */
  add(account: OutboxAccount, entry: OutboxEntry): Promise<boolean>
  /** Replaces the entry of this nonce, durably. */
  replace(account: OutboxAccount, entry: OutboxEntry): Promise<void>
  remove(account: OutboxAccount, nonce: number, how?: RemoveOptions): Promise<void>
  /** Whether a transaction of ours was mined under this nonce; the last 64 at least are remembered. */
  wasMined(account: OutboxAccount, nonce: number): Promise<boolean>
}

export interface RemoveOptions {
  /** It was mined: should a reorganisation free the nonce again, it is ours to use. */
  readonly isMined?: boolean
}

/** Forgets with the process: for tests, and where nothing can be stored. */
export function memoryOutbox(): OutboxStore {
  const accounts = new Map<string, Map<number, OutboxEntry>>()
  const entriesOf = ({ chainId, address }: OutboxAccount) => {
    const key = `${chainId} ${address}`
    const entries = accounts.get(key) ?? new Map<number, OutboxEntry>()
    accounts.set(key, entries)
    return entries
  }
  const mined = new Set<string>()
  const nameOf = ({ chainId, address }: OutboxAccount, nonce: number) => `${chainId} ${address} ${nonce}`
  return {
    load: async (account) => [...entriesOf(account).values()].toSorted((a, b) => a.nonce - b.nonce),
    add: async (account, entry) => {
      const entries = entriesOf(account)
      if (entries.has(entry.nonce)) return false
      entries.set(entry.nonce, entry)
      return true
    },
    replace: async (account, entry) => void entriesOf(account).set(entry.nonce, entry),
    remove: async (account, nonce, { isMined = false } = {}) => {
      entriesOf(account).delete(nonce)
      if (isMined) mined.add(nameOf(account, nonce))
    },
    wasMined: async (account, nonce) => mined.has(nameOf(account, nonce)),
  }
}

/** The signing that pays most: the one to hand over. */
export function newestAttempt({ attempts }: OutboxEntry): OutboxAttempt {
  const attempt = attempts.at(-1)
  if (attempt === undefined) throw new Error('an outbox entry without a signed transaction')
  return attempt
}
