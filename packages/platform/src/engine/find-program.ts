/** Where a program of the machine is: `PATH`, and the folders of root that a plain user's PATH leaves out. I/O. */
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'

const ROOT_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** `PATH` with root's folders at its end: an engine looks there for iptables, runc and containerd. */
export function programPath(path = process.env.PATH ?? ''): string {
  const folders = path.split(':').filter((folder) => folder.startsWith('/'))
  return [...new Set([...folders, ...ROOT_FOLDERS])].join(':')
}

/** Absolute path of an executable; undefined: the machine has none. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of programPath().split(':')) {
    const file = join(folder, name)
    try {
      await access(file, constants.X_OK)
      return file
    } catch {
      // Not in this folder; the next may have it.
    }
  }
  return undefined
}
