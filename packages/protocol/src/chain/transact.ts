/**
 * Sends a transaction and waits until it is mined: simulated first, so that a refusal costs nothing and has a name; signed here, so
 * that its hash is known before anything can go wrong on the way. Spec: spec/PAYMENT.md#chain.
 */
import { type Abi, type Address, getAddress, type Hex, keccak256, type TransactionReceipt } from 'viem'
import { TrustedPodsError } from '../errors.ts'
import { fromChain, toCallError, toSendError } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import type { Wallet } from './wallet.ts'

export interface Call {
  /** Undefined: creates a contract. */
  readonly to: Address | undefined
  readonly data: Hex
  /** Where the names of custom errors are looked up. */
  readonly abi: Abi
  /** For messages: "opening the channel". */
  readonly what: string
}

export interface TransactOptions {
  readonly signal?: AbortSignal | undefined
}

/** A transaction that was mined and did not revert. */
export interface Mined {
  readonly transaction: Hex
  readonly blockNumber: bigint
  readonly gasUsed: bigint
  /** The contract that it created, if any. */
  readonly contract: Address | undefined
}

/** Gas is estimated at one block and used at a later one. */
const GAS_MARGIN_PERCENT = 120n
/** Ten 12-second blocks: past it nothing is known, and the hash in the message tells where to look. */
export const MINED_TIMEOUT_MS = 120_000

/**
 * @throws TrustedPodsError CHANNEL_WALLET without an account, CHANNEL_NO_FUNDS without gas coin, the code of the contract's refusal,
 * CHANNEL_TRANSACTION_FAILED when refused by the node, reverted or not mined in time, CHANNEL_RPC_UNAVAILABLE.
 */
export async function transact(node: ChainNode, call: Call, { signal }: TransactOptions = {}): Promise<Mined> {
  signal?.throwIfAborted()
  const wallet = requireWallet(node)
  const gas = await estimateGas(node, wallet, call)
  const hash = await wallet.inTurn(() => send(node, wallet, { call, gas, signal }))
  const receipt = await waitUntilMined(node, hash, { what: call.what, signal })
  if (receipt.status !== 'success') throw await revertReason(node, wallet, call, receipt)
  return {
    transaction: hash,
    blockNumber: receipt.blockNumber,
    gasUsed: receipt.gasUsed,
    contract: receipt.contractAddress ? getAddress(receipt.contractAddress) : undefined,
  }
}

/** At the pending block: the cap of a channel grows with its time, and an idle chain's latest block may be old. */
async function estimateGas(node: ChainNode, { account }: Wallet, { to, data, abi, what }: Call): Promise<bigint> {
  try {
    const gas = await node.public.estimateGas({ account: account.address, ...target(to), data, blockTag: 'pending' })
    return (gas * GAS_MARGIN_PERCENT) / 100n
  } catch (error) {
    throw toCallError(what, error, abi)
  }
}

interface Send {
  readonly call: Call
  readonly gas: bigint
  readonly signal: AbortSignal | undefined
}

async function send(node: ChainNode, wallet: Wallet, { call, gas, signal }: Send): Promise<Hex> {
  signal?.throwIfAborted()
  const { account, nonces } = wallet
  const fees = await fromChain('reading the fees', node.public.estimateFeesPerGas())
  await requireGasCoin(node, account.address, gas * fees.maxFeePerGas)
  const place = { address: account.address, chainId: node.chainId }
  const nonce = await fromChain('reading the nonce', nonces.consume({ ...place, client: node.public }))
  const { maxFeePerGas, maxPriorityFeePerGas } = fees
  const fields = { chainId: node.chainId, nonce, gas, maxFeePerGas, maxPriorityFeePerGas, data: call.data }
  const raw = await account.signTransaction({ type: 'eip1559', ...fields, ...target(call.to) })
  const hash = keccak256(raw)
  try {
    await node.public.sendRawTransaction({ serializedTransaction: raw })
  } catch (error) {
    nonces.reset(place)
    // A retry of a request whose answer was lost is refused although the first one was taken.
    if (!(await isKnown(node, hash))) throw toSendError(`${call.what} (transaction ${hash})`, error)
  }
  return hash
}

function target(to: Address | undefined): { to?: Address } {
  return to === undefined ? {} : { to }
}

async function requireGasCoin(node: ChainNode, address: Address, wei: bigint): Promise<void> {
  const balance = await fromChain('reading the gas balance', node.public.getBalance({ address }))
  if (balance >= wei) return
  throw new TrustedPodsError(
    'CHANNEL_NO_FUNDS',
    `${address} has ${balance} wei of the chain's coin, the transaction may need ${wei} wei for gas`,
  )
}

async function isKnown(node: ChainNode, hash: Hex): Promise<boolean> {
  try {
    await node.public.getTransaction({ hash })
    return true
  } catch {
    // Not found, or no answer: the caller reports the send's own error, which names the hash.
    return false
  }
}

interface Wait {
  readonly what: string
  readonly signal: AbortSignal | undefined
}

async function waitUntilMined(node: ChainNode, hash: Hex, { what, signal }: Wait): Promise<TransactionReceipt> {
  const options = { hash, confirmations: node.confirmations, timeout: MINED_TIMEOUT_MS }
  try {
    return await orAborted(node.public.waitForTransactionReceipt(options), signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw new TrustedPodsError(
      'CHANNEL_TRANSACTION_FAILED',
      `${what}: transaction ${hash} is not known to be mined; it still may be`,
      { cause: error },
    )
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

function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', abort))
}
