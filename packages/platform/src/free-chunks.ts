/**
 * Keeps the memory of long streams flat. Chunks lie outside of V8's heap, which hardly grows by them, so that their collector is not
 * woken until some 100 MB of dead ones have gathered; a short collection in between costs about a hundredth of the time. What outlives
 * two of those is left to a full one, which costs some 50 ms: once the process has grown by so much.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Dead bytes that are let lie. With half of that the process needs more, not less: what is under way while two collections come is
 * taken for long-lived. */
const INTERVAL_BYTES = 16 * 1024 * 1024

/** By which the process may grow before everything is looked through. */
const GROWTH_BYTES = 12 * 1024 * 1024

type Collect = (options: { type: 'minor' | 'major' }) => void

let collect: Collect | undefined
let sinceLast = 0
let leastResident = Number.POSITIVE_INFINITY

/** To be told of chunks that were made and will be dropped soon. */
export function countChunk(bytes: number): void {
  sinceLast += bytes
  if (sinceLast < INTERVAL_BYTES) return
  sinceLast = 0
  collect ??= findCollector()
  collect({ type: 'minor' })
  const resident = process.memoryUsage.rss()
  if (resident > leastResident + GROWTH_BYTES) {
    collect({ type: 'major' })
    leastResident = process.memoryUsage.rss()
  } else leastResident = Math.min(leastResident, resident)
}

/** The collector's own function, which Node shows only behind a flag. */
function findCollector(): Collect {
  setFlagsFromString('--expose-gc')
  const found: unknown = runInNewContext('globalThis.gc')
  // A Node without it only needs more memory.
  return typeof found === 'function' ? (found as Collect) : () => {}
}
