/** What a transaction offers for gas: the market's price, or more than the try before. Spec: spec/PAYMENT.md#outbox. */
import { larger } from '../bigints.ts'
import { TrustedPodsError } from '../errors.ts'
import { fromChain } from './chain-error.ts'
import type { ChainNode } from './client.ts'
import type { OutboxAttempt } from './outbox.ts'

export type Fees = Pick<OutboxAttempt, 'maxFeePerGas' | 'maxPriorityFeePerGas'>

/** Nodes take a replacement that pays at least a tenth more; an eighth leaves room for rounding. */
const BUMP_NUMERATOR = 9n
const BUMP_DENOMINATOR = 8n

/** Of one that must not wait: what is offered is only paid when blocks come to cost as much, so twice the market outlasts six full blocks. */
const URGENT_TIMES = 2n

/** @throws TrustedPodsError CHANNEL_TRANSACTION_FAILED when gas costs more than the configured most. */
export async function marketFees(node: ChainNode, { urgent = false }: { urgent?: boolean } = {}): Promise<Fees> {
  const { maxFeePerGas, maxPriorityFeePerGas } = await fromChain('reading the fees', node.public.estimateFeesPerGas())
  const fees = { maxFeePerGas, maxPriorityFeePerGas }
  const ample = { ...fees, maxFeePerGas: maxFeePerGas * URGENT_TIMES }
  if (urgent && isAffordable(ample, node)) return ample
  if (isAffordable(fees, node)) return fees
  throw new TrustedPodsError(
    'CHANNEL_TRANSACTION_FAILED',
    `gas costs up to ${maxFeePerGas} wei, the configuration allows ${node.maxFeePerGas}: try again when it is cheaper`,
  )
}

/** Above the market and above the last try; undefined where that is more than the configured most. */
export async function raisedFees(node: ChainNode, last: Fees): Promise<Fees | undefined> {
  const market = await fromChain('reading the fees', node.public.estimateFeesPerGas())
  const fees = {
    maxFeePerGas: larger(raise(last.maxFeePerGas), market.maxFeePerGas),
    maxPriorityFeePerGas: larger(raise(last.maxPriorityFeePerGas), market.maxPriorityFeePerGas),
  }
  return isAffordable(fees, node) ? fees : undefined
}

function isAffordable({ maxFeePerGas }: Fees, node: ChainNode): boolean {
  return node.maxFeePerGas === undefined || maxFeePerGas <= node.maxFeePerGas
}

function raise(wei: bigint): bigint {
  return (wei * BUMP_NUMERATOR) / BUMP_DENOMINATOR + 1n
}
