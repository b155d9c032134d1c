/**
 * Sends a transaction and waits until it is mined: simulated first, so that a refusal costs nothing and has a name; stored before it
 * is handed over, so that nothing that dies in between can lose or double it. Spec: spec/PAYMENT.md#outbox.
 */
import { type Abi, type Address, getAddress, type Hex, type TransactionReceipt } from 'viem'
import { TrustedPodsError } from '../errors.ts'
import { awaitMined, MINED_TIMEOUT_MS } from './await-mined.ts'
import { toCallError } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import type { OutboxEntry } from './outbox.ts'
import { settleOutbox } from './settle-outbox.ts'
import { accountOf, submit, target } from './submit.ts'
import type { Wallet } from './wallet.ts'

export interface Call {
  /** Undefined: creates a contract. */
  readonly to: Address | undefined
  readonly data: Hex
  /** Where the names of custom errors are looked up. */
  readonly abi: Abi
  /** For messages: "opening the channel". */
  readonly what: string
  /** What it is for, where an earlier try of the same thing has other data. */
  readonly intent?: string
}

export interface TransactOptions {
  readonly signal?: AbortSignal | undefined
  /** What it brings is lost when it comes late. */
  readonly urgent?: boolean
}

/** A transaction that was mined and did not revert. */
export interface Mined {
  readonly transaction: Hex
  readonly blockNumber: bigint
  readonly gasUsed: bigint
  /** The contract that it created, if any. */
  readonly contract: Address | undefined
  /** An earlier process had sent it, and did not live to see it mined: nothing was sent now. */
  readonly isEarlier?: true
}

/** Gas is estimated at one block and used at a later one. */
const GAS_MARGIN_PERCENT = 120n

/** The most gas that a transaction gets of which so much is estimated. */
export function gasLimitOf(estimate: bigint): bigint {
  return (estimate * GAS_MARGIN_PERCENT) / 100n
}

/**
 * The same call that an earlier process left on its way is waited for, not sent a second time.
 * @throws TrustedPodsError CHANNEL_WALLET without an account, CHANNEL_NO_FUNDS without gas coin, the code of the contract's refusal,
 * CHANNEL_TRANSACTION_FAILED when refused by the node, reverted or not mined in time, CHANNEL_RPC_UNAVAILABLE.
 */
export async function transact(
  node: ChainNode,
  call: Call,
  { signal, urgent = false }: TransactOptions = {},
): Promise<Mined> {
  signal?.throwIfAborted()
  const wallet = requireWallet(node)
  if (wallet.external) return await transactByWallet(node, wallet, call)
  const left = await wallet.inTurn(() => takeUp(node, wallet, call))
  if (left?.receipt) return { ...minedOf(left.receipt), isEarlier: true }
  const entry = left?.entry ?? (await handIn(node, wallet, call, { signal, urgent }))
  const receipt = await awaitMined(node, entry, { signal })
  if (receipt.status !== 'success') throw await revertReason(node, wallet, call, receipt)
  return { ...minedOf(receipt), ...(left && { isEarlier: true }) }
}

/** Whether a transaction for this was handed over and may still be mined: `transact` would wait for it, and send no other. */
export async function isUnderWay(node: ChainNode, intent: string): Promise<boolean> {
  const { outbox } = requireWallet(node)
  return (await outbox.load(accountOf(node))).some((entry) => entry.intent === intent)
}

/** The signer chooses nonce and fees, and may replace the transaction by one that pays more. */
async function transactByWallet(node: ChainNode, wallet: Wallet, call: Call): Promise<Mined> {
  const gas = await estimateGas(node, wallet, call)
  const { to, data } = call
  const hash = await wallet.inTurn(async () => wallet.external?.sendTransaction({ to, data, gas }) ?? '0x')
  let replacedBy: Hex | undefined
  const receipt = await node.public
    .waitForTransactionReceipt({
      hash,
      confirmations: node.confirmations,
      timeout: MINED_TIMEOUT_MS,
      onReplaced: ({ reason, transaction }) => {
        if (reason !== 'repriced') replacedBy = transaction.hash
      },
    })
    .catch((cause: unknown) => {
      throw new TrustedPodsError(
        'CHANNEL_TRANSACTION_FAILED',
        `${call.what}: transaction ${hash} is not known to be mined; it still may be`,
        { cause },
      )
    })
  if (replacedBy !== undefined) {
    throw new TrustedPodsError(
      'CHANNEL_WALLET',
      `${call.what}: the signer has put another transaction in the place of ${hash}: ${replacedBy}`,
    )
  }
  if (receipt.status !== 'success') throw await revertReason(node, wallet, call, receipt)
  return minedOf(receipt)
}

function minedOf({ transactionHash, blockNumber, gasUsed, contractAddress }: TransactionReceipt): Mined {
  const contract = contractAddress ? getAddress(contractAddress) : undefined
  return { transaction: transactionHash, blockNumber, gasUsed, contract }
}

interface Left {
  readonly entry: OutboxEntry
  /** It is mined, and did what was asked. */
  readonly receipt?: TransactionReceipt
}

/** The same call, where an earlier process left it on its way; whatever else was left goes on too. */
async function takeUp(node: ChainNode, wallet: Wallet, call: Call): Promise<Left | undefined> {
  const { waiting, mined } = await settleOutbox(node)
  const done = mined.find(({ entry, receipt }) => isSame(entry, call) && receipt.status === 'success')
  if (done) return done
  const entry = waiting.find((waits) => isSame(waits, call))
  if (entry) wallet.awaited.add(entry.nonce)
  return entry && { entry }
}

function isSame(entry: OutboxEntry, { to, data, intent }: Call): boolean {
  return intent === undefined ? entry.to === to && entry.data === data : entry.intent === intent
}

/** Simulated, and then stored and sent when it is its turn. */
async function handIn(
  node: ChainNode,
  wallet: Wallet,
  call: Call,
  { signal, urgent = false }: TransactOptions,
): Promise<OutboxEntry> {
  const gas = await estimateGas(node, wallet, call)
  return await wallet.inTurn(async () => {
    signal?.throwIfAborted()
    const { what, intent, to, data } = call
    const unsent = { what, ...(intent !== undefined && { intent }), to, data, gas }
    const entry = await submit(node, unsent, { urgent })
    wallet.awaited.add(entry.nonce)
    return entry
  })
}

/** At the pending block: the cap of a channel grows with its time, and an idle chain's latest block may be old. */
async function estimateGas(node: ChainNode, { account }: Wallet, { to, data, abi, what }: Call): Promise<bigint> {
  try {
    const gas = await node.public.estimateGas({ account: account.address, ...target(to), data, blockTag: 'pending' })
    return gasLimitOf(gas)
  } catch (error) {
    throw toCallError(what, error, abi)
  }
}

/** The contract's reason, by asking again at the block in which it failed. */
async function revertReason(
  node: ChainNode,
  { account }: Wallet,
  call: Call,
  receipt: TransactionReceipt,
): Promise<TrustedPodsError> {
  const { transactionHash, blockNumber } = receipt
  try {
    await node.public.call({ account: account.address, ...target(call.to), data: call.data, blockNumber })
  } catch (error) {
    return toCallError(`${call.what} (transaction ${transactionHash})`, error, call.abi)
  }
  return new TrustedPodsError(
    'CHANNEL_TRANSACTION_FAILED',
    `${call.what}: transaction ${transactionHash} reverted in block ${blockNumber}`,
  )
}
