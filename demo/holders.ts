/** Who has a file open, whoever started it: a provider that a person started again by hand is no child of the demo. Reads /proc. */
import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { endProcess } from './children.ts'

/** Ends all that have the file open, but for this process. Returns how many. */
export async function endHoldersOf(file: string): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number)
  let ended = 0
  for (const pid of pids) {
    if (pid === process.pid || !(await holds(pid, file))) continue
    await endProcess(pid)
    ended++
  }
  return ended
}

async function holds(pid: number, file: string): Promise<boolean> {
  const folder = join('/proc', `${pid}`, 'fd')
  // A process that ended meanwhile, or a descriptor that it closed, holds nothing.
  const names = await readdir(folder).catch(() => [])
  const targets = await Promise.all(names.map((name) => readlink(join(folder, name)).catch(() => '')))
  return targets.includes(file)
}
