/** Processes of the demo: started with a record on disk first, so that the next run can end what this one could not. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** 30 s: a provider takes down its pods' front and closes its journal; then it is killed. */
const END_TIMEOUT_MS = 30_000

export interface ChildOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Where its output goes; with `firstLine` only stderr does. */
  readonly logFile: string
}

export interface Child extends AsyncDisposable {
  readonly pid: number
  /** First line of its stdout that the function accepts; rejects when the child ends first. */
  line<T>(accept: (line: string) => T | undefined): Promise<T>
}

/** A child in a process group of its own: Ctrl-C reaches the demo alone, which then ends it in order. */
export async function startChild(
  folder: string,
  name: string,
  { program, args, logFile }: ChildOptions,
): Promise<Child> {
  const log = await open(logFile, 'a', 0o600)
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', log.fd] })
  const spawned = once(child, 'spawn')
  await log.close()
  await spawned
  const pid = child.pid as number
  await mkdir(join(folder, 'pids'), { recursive: true })
  const record = join(folder, 'pids', name)
  await writeFile(record, JSON.stringify({ pid, startedAt: await startTime(pid) }))
  return {
    pid,
    line: (accept) => firstLine(child, accept, `${name} (see ${logFile})`),
    async [Symbol.asyncDispose]() {
      await endProcess(pid)
      await rm(record, { force: true })
    },
  }
}

/** Ends what an earlier run left; a number that another process has by now is left alone. Returns the names. */
export async function endLeftChildren(folder: string): Promise<string[]> {
  const ended: string[] = []
  const names = await readdir(join(folder, 'pids')).catch(() => [])
  // In the order of their names: what uses the chain ends before the chain.
  for (const name of names.sort()) {
    const { pid, startedAt } = JSON.parse(await readFile(join(folder, 'pids', name), 'utf8'))
    if ((await startTime(pid)) === startedAt) {
      await endProcess(pid)
      ended.push(name)
    }
    await rm(join(folder, 'pids', name), { force: true })
  }
  return ended
}

export async function endProcess(pid: number): Promise<void> {
  const startedAt = await startTime(pid)
  if (startedAt === undefined) return
  process.kill(pid, 'SIGTERM')
  const until = performance.now() + END_TIMEOUT_MS
  while ((await startTime(pid)) === startedAt) {
    if (performance.now() > until) process.kill(pid, 'SIGKILL')
    await sleep(50)
  }
}

/** Start time of a process in clock ticks since boot, which with its number names it; undefined: it is gone, or a zombie. */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function firstLine<T>(child: ChildProcess, accept: (line: string) => T | undefined, what: string): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  let text = ''
  child.stdout?.setEncoding('utf8')
  child.stdout?.on('data', (data: string) => {
    const lines = (text + data).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const value = accept(line)
      if (value !== undefined) resolve(value)
    }
  })
  child.once('exit', (code, signal) => reject(new Error(`${what} ended with ${signal ?? `code ${code}`}`)))
  return promise
}
