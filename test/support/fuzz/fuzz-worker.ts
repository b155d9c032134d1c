/** Judges every step-th changed evidence, and watches the time of each and the memory of all. Runs in a worker thread. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, workerData } from 'node:worker_threads'
import { appraise } from '@trusted-pods/protocol/attestation/appraise.ts'
import { appraiseVector } from '../vectors/judge-vector.ts'
import { isBroken, readVectors, type Vector } from '../vectors/vector.ts'
import { mutateEvidence } from './mutate-evidence.ts'
import { isSound, Oracle } from './oracle.ts'
import { randomOf } from './random.ts'

export interface FuzzTask {
  readonly folders: readonly string[]
  readonly seed: number
  /** Cases first, first + step, … below count. */
  readonly first: number
  readonly step: number
  readonly count: number
  readonly kind?: string
  /** Tells the verdict of each case too. */
  readonly verbose?: boolean
}

export interface FuzzMessage {
  /** The case that was judged last. */
  readonly at: number
  readonly passed: number
  readonly findings: readonly string[]
}

/** Longest time of this thread for one case, ms: the median is near 1, the collector may take some. */
const SLOW_CPU_MS = 1_000
/** What the heap may grow by from the first tenth to the end, bytes. */
const GROWTH_BYTES = 24 * 1024 * 1024
const MESSAGE_EVERY = 250

const task = workerData as FuzzTask
const { vectors, oracle } = await prepare(task)
await fuzz(task)

async function prepare({ folders, kind }: FuzzTask): Promise<{ vectors: Vector[]; oracle: Oracle }> {
  const read = (await Promise.all(folders.map(readVectors))).flat()
  const usable = read.filter((vector): vector is Vector => !isBroken(vector))
  const chosen = usable.filter((vector) => kind === undefined || vector.kind === kind)
  if (chosen.length === 0) throw new RangeError(`no vector in ${folders.join(', ') || 'no folder'}`)
  const sound: Vector[] = []
  for (const vector of chosen) if (isSound(vector, (await appraiseVector(vector)).codes)) sound.push(vector)
  return { vectors: chosen, oracle: new Oracle(chosen, sound) }
}

function isAcceptedTier(tier: string): boolean {
  return tier === 'affirming' || tier === 'warning'
}

async function fuzz({ first, step, count, verbose }: FuzzTask): Promise<void> {
  let findings: string[] = []
  let passed = 0
  let judged = 0
  let heapBefore: number | undefined
  const send = (at: number) => {
    parentPort?.postMessage({ at, passed, findings } satisfies FuzzMessage)
    passed = 0
    findings = []
  }
  const total = Math.ceil((count - first) / step)
  for (let i = first; i < count; i += step) {
    const finding = await judgeCase(i, verbose ?? false)
    if (finding === undefined) passed++
    else findings.push(finding)
    judged++
    if (judged === Math.ceil(total / 10)) heapBefore = usedBytes()
    if (judged % MESSAGE_EVERY === 0) send(i)
  }
  const grown = usedBytes() - (heapBefore ?? 0)
  if (heapBefore !== undefined && total > 100 && grown > GROWTH_BYTES) findings.push(`memory grew by ${grown} bytes`)
  send(count)
}

/** Why the case fails; undefined: it does not. */
async function judgeCase(index: number, verbose: boolean): Promise<string | undefined> {
  const random = randomOf(task.seed, index)
  const vector = random.pick(vectors)
  const { evidence, change } = mutateEvidence(vector, vectors, random)
  const name = `case ${index} (${vector.id}; ${change})`
  const began = process.threadCpuUsage()
  try {
    const { checks } = await appraise(evidence, vector.options)
    const { user, system } = process.threadCpuUsage(began)
    const usedMs = (user + system) / 1000
    const isAccepted = checks.every(({ tier }) => isAcceptedTier(tier))
    if (verbose)
      process.stderr.write(
        `${name}: ${checks
          .filter((c) => c.tier !== 'affirming')
          .map((c) => `${c.code} ${c.tier}: ${c.got}`)
          .join('; ')}\n`,
      )
    if (usedMs > SLOW_CPU_MS) return `${name}: took ${Math.round(usedMs)} ms of processor time`
    const forgery = isAccepted ? oracle.forgery(evidence) : undefined
    return forgery === undefined ? undefined : `${name}: accepted a forgery: ${forgery}`
  } catch (error) {
    return `${name}: threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
  }
}

/** Of the heap and of array buffers, after a collection. */
function usedBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
