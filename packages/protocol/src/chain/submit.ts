/** Gives a transaction its nonce, signs it, stores it, and hands it to a node. Spec: spec/PAYMENT.md#outbox. */
import { type Address, BaseError, type Hex, keccak256 } from 'viem'
import { TrustedPodsError } from '../errors.ts'
import { fromChain, toSendError } from './chain-error.ts'
import { type ChainNode, requireWallet } from './client.ts'
import { type Fees, marketFees, raisedFees } from './fees.ts'
import { newestAttempt, type OutboxAccount, type OutboxAttempt, type OutboxEntry } from './outbox.ts'

/** What is to be sent, before it has a nonce. */
export type Unsent = Pick<OutboxEntry, 'what' | 'intent' | 'to' | 'data' | 'gas'>

export interface SubmitOptions {
  /** Offers more than the market asks, so that a rise of it does not leave the transaction behind. */
  readonly urgent?: boolean
}

/** Times that a nonce is given up for a higher one, because somebody else sends from the account too. */
const NONCE_TRIES = 8

/**
 * The stored entry, which a node has taken. Call it in the wallet's turn.
 * @throws TrustedPodsError CHANNEL_NO_FUNDS without gas coin, CHANNEL_TRANSACTION_FAILED when the node refuses it: nothing is stored
 * then. CHANNEL_RPC_UNAVAILABLE when no node is known to have it: it stays stored, and is sent again.
 */
export async function submit(node: ChainNode, unsent: Unsent, { urgent }: SubmitOptions = {}): Promise<OutboxEntry> {
  let fees = await feesFor(node, unsent, urgent)
  let floor = 0
  for (let tries = 1; ; tries++) {
    const entry = await reserve(node, unsent, { fees, floor })
    const outcome = await handOver(node, entry)
    if (outcome.kind === 'taken') return entry
    if (outcome.kind === 'unknown') throw outcome.error
    if (outcome.kind === 'nonce-taken') await requireWallet(node).outbox.remove(accountOf(node), entry.nonce)
    else await giveBack(node, entry)
    if (outcome.kind === 'refused' || tries >= NONCE_TRIES) throw outcome.error
    if (outcome.kind === 'nonce-taken') floor = entry.nonce + 1
    else fees = (await raisedFees(node, fees)) ?? fees
  }
}

export function accountOf(node: ChainNode): OutboxAccount {
  return { chainId: node.chainId, address: requireWallet(node).account.address }
}

export type HandOver =
  /** A node has it. */
  | { readonly kind: 'taken' }
  /** No node answered: one may have it. */
  | { readonly kind: 'unknown'; readonly error: TrustedPodsError }
  /** Another transaction has this nonce, mined or waiting. */
  | { readonly kind: 'nonce-taken'; readonly error: TrustedPodsError }
  /** It offers too little for gas to wait. */
  | { readonly kind: 'too-cheap'; readonly error: TrustedPodsError }
  | { readonly kind: 'refused'; readonly error: TrustedPodsError }

/** Sends the newest signing. A retry of a request whose answer was lost is refused although the first one was taken: so it is looked up. */
export async function handOver(node: ChainNode, entry: OutboxEntry): Promise<HandOver> {
  const { hash, raw } = newestAttempt(entry)
  try {
    await node.public.sendRawTransaction({ serializedTransaction: raw })
    return { kind: 'taken' }
  } catch (cause) {
    const error = toSendError(`${entry.what} (transaction ${hash})`, cause)
    if (await isKnown(node, hash)) return { kind: 'taken' }
    if (error.code === 'CHANNEL_RPC_UNAVAILABLE') return { kind: 'unknown', error }
    return { kind: refusalOf(cause), error }
  }
}

/** Nodes differ in their words, and give all of these one code. */
function refusalOf(cause: unknown): 'nonce-taken' | 'too-cheap' | 'refused' {
  const text = (cause instanceof BaseError ? `${cause.shortMessage} ${cause.details}` : String(cause)).toLowerCase()
  if (
    /nonce (provided for the transaction is lower|too low|is too low)|replacement|underpriced.*nonce|already been used/.test(
      text,
    )
  )
    return 'nonce-taken'
  if (/fee ?cap|max ?fee|base ?fee|underpriced/.test(text)) return 'too-cheap'
  return 'refused'
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

/** Stores the transaction under the lowest nonce that is free at the node, in the outbox, and not below `floor`. */
async function reserve(
  node: ChainNode,
  unsent: Unsent,
  { fees, floor }: { fees: Fees; floor: number },
): Promise<OutboxEntry> {
  const { outbox } = requireWallet(node)
  const account = accountOf(node)
  for (;;) {
    const stored = await outbox.load(account)
    const last = stored.at(-1)
    const pending = await fromChain(
      'reading the nonce',
      node.public.getTransactionCount({ address: account.address, blockTag: 'pending' }),
    )
    // One that no node has would hold up this one.
    for (const unknown of stored.filter((entry) => entry.nonce >= pending)) await handOver(node, unknown)
    const nonce = Math.max(pending, floor, last === undefined ? 0 : last.nonce + 1)
    const entry = { ...unsent, nonce, attempts: [await sign(node, unsent, { nonce, fees })] }
    // Another process that pays from the account was quicker.
    if (!(await outbox.add(account, entry))) continue
    const countedOn = last !== undefined && nonce === last.nonce + 1 && nonce > pending && nonce !== floor
    if (!countedOn || (await isBacked(node, nonce))) return entry
    await outbox.remove(account, nonce)
  }
}

/** The nonce below is still ours, or is used: another process may have given it back meanwhile. */
async function isBacked(node: ChainNode, nonce: number): Promise<boolean> {
  const account = accountOf(node)
  const stored = await requireWallet(node).outbox.load(account)
  if (stored.some((entry) => entry.nonce === nonce - 1)) return true
  const { address } = account
  const used = node.public.getTransactionCount({ address, blockTag: 'pending' })
  return (await fromChain('reading the nonce', used)) >= nonce
}

/**
 * Gives a nonce back whose transaction no node takes. Where others of ours wait behind it, it is used by a transfer of nothing to
 * oneself: while its entry is there the nonce is ours.
 */
async function giveBack(node: ChainNode, { nonce }: OutboxEntry): Promise<void> {
  const { outbox } = requireWallet(node)
  const account = accountOf(node)
  const isLast = async () => (await outbox.load(account)).every((other) => other.nonce <= nonce)
  if (await isLast()) {
    await outbox.remove(account, nonce)
    // Another process may just have taken the next one, counting on this.
    if (await isLast()) return
  }
  const filler = await fillerAt(node, nonce)
  if (!(await outbox.add(account, filler))) await outbox.replace(account, filler)
  await handOver(node, filler)
}

/** What a transfer of nothing to oneself costs. */
const TRANSFER_GAS = 21_000n

/** A transaction that only uses up a nonce of ours. */
export async function fillerAt(node: ChainNode, nonce: number): Promise<OutboxEntry> {
  const { address: to } = accountOf(node)
  const unsent = { what: 'filling a gap of nonces', to, data: '0x', gas: TRANSFER_GAS } as const
  return { ...unsent, nonce, attempts: [await sign(node, unsent, { nonce, fees: await marketFees(node) })] }
}

/** Signed here, so that the hash is known before anything can go wrong on the way. */
export async function sign(
  node: ChainNode,
  { to, data, gas }: Pick<Unsent, 'to' | 'data' | 'gas'>,
  { nonce, fees }: { nonce: number; fees: Fees },
): Promise<OutboxAttempt> {
  const { account } = requireWallet(node)
  const fields = { chainId: node.chainId, nonce, gas, data, ...fees }
  const raw = await account.signTransaction({ type: 'eip1559', ...fields, ...target(to) })
  return { hash: keccak256(raw), raw, ...fees, signedAtMs: Date.now() }
}

export function target(to: Address | undefined): { to?: Address } {
  return to === undefined ? {} : { to }
}

/** An account that has no coin for more offers what the market asks. */
async function feesFor(node: ChainNode, { gas }: Pick<Unsent, 'gas'>, urgent = false): Promise<Fees> {
  const fees = await marketFees(node, { urgent })
  try {
    await requireGasCoin(node, gas * fees.maxFeePerGas)
    return fees
  } catch (error) {
    if (urgent) return await feesFor(node, { gas })
    throw error
  }
}

async function requireGasCoin(node: ChainNode, wei: bigint): Promise<void> {
  const { address } = requireWallet(node).account
  const balance = await fromChain('reading the gas balance', node.public.getBalance({ address }))
  if (balance >= wei) return
  throw new TrustedPodsError(
    'CHANNEL_NO_FUNDS',
    `${address} has ${balance} wei of the chain's coin, the transaction may need ${wei} wei for gas`,
  )
}
