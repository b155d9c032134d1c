/**
 * Changes every vector's evidence by a seed and judges it: fails on an exception, an accepted forgery, a hang, growing memory.
 * fuzz-evidence.ts --count N --seed S [--from I] [--only I] [--kind snp|tdx] [--workers W] [folder…]
 * Case I of a seed is the same in every run, so a long run can be made in parts: --from I goes on where another ended.
 */
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import type { FuzzMessage, FuzzTask } from '../test/support/fuzz/fuzz-worker.ts'
import { SHARED_VECTORS } from '../test/support/vectors/shared-vectors.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    only: { type: 'string' },
    kind: { type: 'string' },
    workers: { type: 'string', default: String(Math.min(4, availableParallelism())) },
  },
})

/** Our own vectors, and the shared ones where they are. */
function defaultFolders(): string[] {
  const root = resolve(import.meta.dirname, '..')
  return [join(root, 'test/vectors'), SHARED_VECTORS].filter((folder) => existsSync(folder))
}

/** A worker that judges nothing in so much processor time hangs: 20,000 times what a case takes. */
const HANG_CPU_MS = 20_000
/** One that waits for what never comes uses none; on a busy machine the others are not far behind. */
const HANG_MS = 600_000
const WATCH_MS = 1_000
/** Findings that are printed; all are counted. */
const MAX_PRINTED = 50

const count = wholeNumber('count')
const from = wholeNumber('from')
const workers = Math.min(wholeNumber('workers'), count)
const only = values.only === undefined ? undefined : wholeNumber('only')
const base: Omit<FuzzTask, 'first' | 'step'> = {
  folders: positionals.length > 0 ? positionals : defaultFolders(),
  seed: wholeNumber('seed'),
  count,
  ...(values.kind !== undefined && { kind: values.kind }),
}

function wholeNumber(name: 'count' | 'seed' | 'from' | 'only' | 'workers'): number {
  const value = Number(values[name])
  if (Number.isSafeInteger(value) && value >= (name === 'count' || name === 'workers' ? 1 : 0)) return value
  process.stderr.write(`--${name}: a whole number is wanted, got ${values[name]}\n`)
  process.exit(2)
}

let passed = 0
let failed = 0

function report(line: string): void {
  failed++
  if (failed <= MAX_PRINTED) process.stdout.write(`${line}\n`)
}

/** Runs one worker to its end; a hang ends it and is one failure. */
function runWorker(task: FuzzTask): Promise<void> {
  const { promise, resolve: done } = Promise.withResolvers<void>()
  const worker = new Worker(new URL('../test/support/fuzz/fuzz-worker.ts', import.meta.url), { workerData: task })
  let at = task.first
  let heard = now()
  const watchdog = setInterval(() => {
    const { wallMs, cpuMs } = now()
    if (cpuMs - heard.cpuMs < HANG_CPU_MS * workers && wallMs - heard.wallMs < HANG_MS) return
    clearInterval(watchdog)
    report(
      `case ${at} or one of the next ${PROGRESS_STEP * workers}: hangs for ${Math.round(wallMs - heard.wallMs)} ms`,
    )
    void worker.terminate()
  }, WATCH_MS)
  worker.on('message', (message: FuzzMessage) => {
    heard = now()
    at = message.at
    passed += message.passed
    for (const finding of message.findings) report(finding)
  })
  worker.on('error', (error) => report(`case ${at}: the worker died: ${error.message}`))
  worker.on('exit', () => {
    clearInterval(watchdog)
    done()
  })
  return promise
}

/** Of all threads together: a worker that other programs leave no processor to does not hang. */
function now(): { wallMs: number; cpuMs: number } {
  const { user, system } = process.cpuUsage()
  return { wallMs: performance.now(), cpuMs: (user + system) / 1000 }
}

/** Cases between two messages of a worker. */
const PROGRESS_STEP = 250

const began = performance.now()
const tasks: FuzzTask[] =
  only === undefined
    ? Array.from({ length: workers }, (_, i) => ({ ...base, first: from + i, step: workers }))
    : [{ ...base, first: only, step: count, count: only + 1, verbose: true }]
await Promise.all(tasks.map(runWorker))
const seconds = (performance.now() - began) / 1000
const rate = `${Math.round((passed + failed) / seconds)} cases per second`
const peakMib = Math.round(process.resourceUsage().maxRSS / 1024)
process.stderr.write(`${seconds.toFixed(1)} s, ${rate}, at most ${peakMib} MiB\n`)
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
