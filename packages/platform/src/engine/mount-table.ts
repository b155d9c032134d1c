/** Mount points of this process's mount namespace. I/O: /proc/self/mountinfo. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/** Mount points as `mountinfo` lists them, oldest first. Pure. */
export function parseMountPoints(mountinfo: string): string[] {
  const lines = mountinfo.split('\n').filter((line) => line !== '')
  return lines.map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
}

export async function listMountPoints(): Promise<string[]> {
  return parseMountPoints(await readFile('/proc/self/mountinfo', 'utf8'))
}

/** Takes off a recursive bind mount, and it alone: where its parts share mount events with the machine's own mounts,
 * taking it off as it stands would take those off too. Nothing happens when it is no mount point. */
export async function unmountBind(point: string): Promise<void> {
  if (!(await listMountPoints()).includes(point)) return
  const run = promisify(execFile)
  await run('mount', ['--make-rprivate', point])
  await run('umount', ['-l', point])
}

/** Blank, tab, newline and backslash stand as \040, \011, \012 and \134 (proc_pid_mountinfo(5)). */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
