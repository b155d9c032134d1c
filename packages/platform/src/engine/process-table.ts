/** Processes of this machine, as far as ending our own asks for it. I/O: /proc. */
import { readdir, readFile } from 'node:fs/promises'

export interface ProcessEntry {
  readonly pid: number
  readonly parentPid: number
  readonly args: readonly string[]
}

/** Every process that can be read; one that ends meanwhile is left out. */
export async function listProcesses(): Promise<ProcessEntry[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const entries = await Promise.all(pids.map((pid) => readProcess(pid)))
  return entries.filter((entry) => entry !== undefined)
}

/** undefined: no such process, or a dead one that waits for its parent. */
export async function readProcess(pid: number): Promise<ProcessEntry | undefined> {
  try {
    const [command, status] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      readFile(`/proc/${pid}/status`, 'utf8'),
    ])
    if (/^State:\s+[ZX]/m.test(status)) return undefined
    const parentPid = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0)
    return { pid, parentPid, args: command.split('\0').slice(0, -1) }
  } catch {
    // It ended between the two reads.
    return undefined
  }
}

/** Those of `processes` that descend from `roots`, the roots too, the youngest generation last. */
export function withDescendants(processes: readonly ProcessEntry[], roots: readonly ProcessEntry[]): ProcessEntry[] {
  const found = new Map(roots.map((entry) => [entry.pid, entry]))
  for (let size = -1; size !== found.size; ) {
    size = found.size
    for (const entry of processes) if (found.has(entry.parentPid)) found.set(entry.pid, entry)
  }
  return [...found.values()]
}

/** Sends a signal; nothing happens when the process is gone. */
export function signalProcess(pid: number, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
