/**
 * Changes every vector's evidence by a seed and judges it: fails on an exception, an accepted forgery, a hang, growing memory.
 * fuzz-evidence.ts --count N --seed S [--only I] [--kind snp|tdx] [--workers W] [folder…]
 */
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import type { FuzzMessage, FuzzTask } from '../test/support/fuzz/fuzz-worker.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    kind: { type: 'string' },
    workers: { type: 'string', default: String(Math.min(4, availableParallelism())) },
  },
})

/** Our own vectors, and the shared ones where they are. */
function defaultFolders(): string[] {
  const root = resolve(import.meta.dirname, '..')
  const shared = process.env.TRUSTED_PODS_VECTORS ?? resolve(root, '../shared/vectors')
  return [join(root, 'test/vectors'), shared].filter((folder) => existsSync(folder))
}

/** A worker that judges nothing for so long hangs: 20,000 times what a case takes. */
const HANG_MS = 20_000
/** Findings that are printed; all are counted. */
const MAX_PRINTED = 50

const count = wholeNumber('count')
const workers = Math.min(wholeNumber('workers'), count)
const only = values.only === undefined ? undefined : wholeNumber('only')
const base: Omit<FuzzTask, 'first' | 'step'> = {
  folders: positionals.length > 0 ? positionals : defaultFolders(),
  seed: wholeNumber('seed'),
  count,
  ...(values.kind !== undefined && { kind: values.kind }),
}

function wholeNumber(name: 'count' | 'seed' | 'only' | 'workers'): number {
  const value = Number(values[name])
  if (Number.isSafeInteger(value) && value >= (name === 'seed' || name === 'only' ? 0 : 1)) return value
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
  const watchdog = () =>
    setTimeout(() => {
      report(`case ${at} or one of the next ${PROGRESS_STEP}: hangs for ${HANG_MS} ms`)
      void worker.terminate()
    }, HANG_MS)
  let timer = watchdog()
  worker.on('message', (message: FuzzMessage) => {
    clearTimeout(timer)
    timer = watchdog()
    at = message.at
    passed += message.passed
    for (const finding of message.findings) report(finding)
  })
  worker.on('error', (error) => report(`case ${at}: the worker died: ${error.message}`))
  worker.on('exit', () => {
    clearTimeout(timer)
    done()
  })
  return promise
}

/** Cases between two messages of a worker. */
const PROGRESS_STEP = 250

const began = performance.now()
const tasks: FuzzTask[] =
  only === undefined
    ? Array.from({ length: workers }, (_, first) => ({ ...base, first, step: workers }))
    : [{ ...base, first: only, step: count, count: only + 1, verbose: true }]
await Promise.all(tasks.map(runWorker))
const seconds = (performance.now() - began) / 1000
process.stderr.write(`${seconds.toFixed(1)} s, ${Math.round((passed + failed) / seconds)} cases per second\n`)
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
