/** Time on the clock, time of our own processor, and requests to the chain, of work that is done several times. */
import type { CountingRpc } from '../../test/support/counting-rpc.ts'

export interface Row {
  readonly name: string
  readonly runs: number
  readonly p50Ms: number
  readonly bestMs: number
  /** Of this process, at p50: what a machine that is busy with other things does not blur. */
  readonly cpuMs: number
  /** Of the last run. */
  readonly rpcCalls: number
}

export async function timed(name: string, runs: number, work: () => Promise<unknown>, rpc: CountingRpc): Promise<Row> {
  const clock: number[] = []
  const processor: number[] = []
  for (let run = 0; run < runs; run++) {
    rpc.reset()
    const [began, used] = [performance.now(), process.cpuUsage()]
    await work()
    clock.push(performance.now() - began)
    const { user, system } = process.cpuUsage(used)
    processor.push((user + system) / 1000)
  }
  return {
    name,
    runs,
    p50Ms: middle(clock),
    bestMs: Math.min(...clock),
    cpuMs: middle(processor),
    rpcCalls: rpc.count(),
  }
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
