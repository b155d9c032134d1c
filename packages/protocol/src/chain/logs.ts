/**
 * Events of a contract over a range of blocks, however little of it an endpoint gives at once: a range that it refuses is halved.
 * Spec: spec/PAYMENT.md#chain.
 */
import { type AbiEvent, BaseError, type GetLogsReturnType } from 'viem'
import { TrustedPodsError } from '../errors.ts'
import { fromChain } from './chain-error.ts'
import type { ChainNode } from './client.ts'

export interface LogRange<Event extends AbiEvent | undefined> {
  readonly address: `0x${string}`
  /** Left out: every event of the contract. */
  readonly event?: Event
  readonly args?: Record<string, unknown>
  readonly fromBlock: bigint
  readonly toBlock: bigint
}

/** Public endpoints give 1,000 to 10,000 blocks at once; more is asked for first, because many give it. */
const FIRST_SPAN = 50_000n

/** In the order of the chain. @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when even one block cannot be had. */
export async function readLogs<Event extends AbiEvent | undefined = undefined>(
  node: ChainNode,
  { fromBlock, toBlock, ...filter }: LogRange<Event>,
): Promise<GetLogsReturnType<Event>> {
  const logs: GetLogsReturnType<Event>[number][] = []
  let span = FIRST_SPAN
  for (let from = fromBlock; from <= toBlock; ) {
    const to = from + span - 1n < toBlock ? from + span - 1n : toBlock
    const part = await readPart(node, { ...filter, fromBlock: from, toBlock: to })
    if (part === 'too-much') {
      if (span === 1n)
        throw new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', `the events of block ${from} cannot be had`)
      span = span / 2n
      continue
    }
    for (const log of part) logs.push(log)
    from = to + 1n
  }
  return logs as GetLogsReturnType<Event>
}

async function readPart<Event extends AbiEvent | undefined>(
  node: ChainNode,
  range: LogRange<Event>,
): Promise<GetLogsReturnType<Event> | 'too-much'> {
  try {
    return (await node.public.getLogs(range as never)) as GetLogsReturnType<Event>
  } catch (error) {
    if (isTooMuch(error)) return 'too-much'
    return await fromChain('reading events', Promise.reject(error))
  }
}

/** Endpoints say so in many ways: by a code of their own, by a text, or by an answer that is longer than we read. */
function isTooMuch(error: unknown): boolean {
  if (!(error instanceof BaseError)) return false
  const text = `${error.shortMessage} ${error.details}`.toLowerCase()
  const named = error.walk((cause) => cause instanceof Error && /BodyTooLarge|LimitExceeded/.test(cause.name)) !== null
  return named || /range|limit|too (many|large|wide)|more than [0-9,]+ (results|logs)|exceed|query timeout/.test(text)
}
