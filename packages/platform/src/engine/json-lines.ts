/** A stream of JSON objects, one a line, as engines send progress and events. Pure. */
import { failed } from './engine-client.ts'

/** 1 MiB: an event carries a container's labels and command; more is an engine gone wrong. */
const MAX_LINE_BYTES = 1024 * 1024

/** Each line's value. @throws TrustedPodsError PLATFORM_ENGINE_FAILED on a line that is no JSON or too long. */
export async function* jsonLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  let rest = Buffer.alloc(0)
  for await (const chunk of bytes) {
    rest = Buffer.concat([rest, chunk])
    let end = rest.indexOf(10)
    for (; end >= 0; end = rest.indexOf(10)) {
      const line = rest.subarray(0, end).toString('utf8').trim()
      rest = rest.subarray(end + 1)
      if (line !== '') yield parseLine(line)
    }
    if (rest.length > MAX_LINE_BYTES) throw failed(`a line of the engine is over ${MAX_LINE_BYTES} bytes`)
  }
  const last = rest.toString('utf8').trim()
  if (last !== '') yield parseLine(last)
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw failed(`the engine sent "${line.slice(0, 100)}" where JSON was wanted`, error)
  }
}
