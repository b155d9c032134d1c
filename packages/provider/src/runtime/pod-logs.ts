/** Output of a pod's containers as one stream. I/O. */
import type { Engine } from '@trusted-pods/platform/engine/engine-client.ts'
import { containerLogs, type LogLine, type LogQuery } from '@trusted-pods/platform/engine/logs.ts'
import type { RuntimeLogLine } from './pod-runtime.ts'

export interface LogSource {
  readonly id: string
  readonly name: string
}

/** By time across the containers as far as their lines are there: whichever container's next line is oldest comes first,
 * and with `follow` one that has nothing to say holds up no other. */
export async function* podLogs(
  engine: Engine,
  sources: readonly LogSource[],
  query: LogQuery,
): AsyncGenerator<RuntimeLogLine> {
  // Ends the requests of the other containers when the reader leaves or one of them fails.
  const leave = new AbortController()
  const signal = query.signal ? AbortSignal.any([query.signal, leave.signal]) : leave.signal
  const streams = sources.map(({ id, name }) => named(containerLogs(engine, id, { ...query, signal }), name))
  try {
    yield* query.follow ? interleave(streams) : mergeByTime(streams)
  } finally {
    leave.abort()
  }
}

async function* named(lines: AsyncIterable<LogLine>, container: string): AsyncGenerator<RuntimeLogLine> {
  for await (const line of lines) yield { container, ...line }
}

type Stream = AsyncIterator<RuntimeLogLine>

/** Merges streams that end, each in order of time. */
export async function* mergeByTime(streams: readonly Stream[]): AsyncGenerator<RuntimeLogLine> {
  const heads = await Promise.all(streams.map(async (stream) => ({ stream, head: await stream.next() })))
  for (;;) {
    const open = heads.filter(({ head }) => !head.done)
    const [first] = open.sort((a, b) => compareTimes(a.head.value, b.head.value))
    if (!first) return
    yield first.head.value
    first.head = await first.stream.next()
  }
}

interface ReadyLine {
  readonly line: RuntimeLogLine
  /** Lets its stream go on to the next. */
  readonly taken: () => void
}

/** Merges streams as their lines come: one line of each at a time, and one promise for whoever waits, however silent a stream is. */
export async function* interleave(streams: readonly Stream[]): AsyncGenerator<RuntimeLogLine> {
  const ready: ReadyLine[] = []
  const failures: unknown[] = []
  let open = streams.length
  let wake = () => {}
  const pump = async (stream: Stream) => {
    try {
      for (let result = await stream.next(); !result.done; result = await stream.next()) {
        const { promise, resolve } = Promise.withResolvers<void>()
        ready.push({ line: result.value, taken: resolve })
        wake()
        await promise
      }
    } catch (error) {
      failures.push(error)
    }
    open--
    wake()
  }
  const pumps = Promise.all(streams.map(pump))
  for (;;) {
    const { promise, resolve } = Promise.withResolvers<void>()
    wake = resolve
    const next = ready.shift()
    if (next) {
      yield next.line
      next.taken()
    } else if (failures.length > 0) {
      throw failures[0]
    } else if (open === 0) {
      return await pumps.then(() => {})
    } else {
      await promise
    }
  }
}

function compareTimes(a: RuntimeLogLine, b: RuntimeLogLine): number {
  return a.timeNs < b.timeNs ? -1 : Number(a.timeNs > b.timeNs)
}
