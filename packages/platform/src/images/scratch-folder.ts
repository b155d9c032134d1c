/**
 * A private folder for what is not whole yet, beside the place that it is for. One that a killed program has left is removed when the next is
 * made there: each has a lock beside it that the kernel takes back with its owner, so that one in use is never touched. I/O.
 */
import { randomUUID } from 'node:crypto'
import { lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { unlinkIfThere } from '../block-files.ts'
import { tryLock } from '../file-lock.ts'
import { undoMerge } from './merged-blobs.ts'

const PREFIX = '.trustedpods-'
const LOCK = '.lock'

export interface ScratchFolder extends AsyncDisposable {
  /** Mode 0700. */
  readonly folder: string
}

/** @param parent is made where it is missing. */
export async function openScratch(parent: string): Promise<ScratchFolder> {
  await mkdir(parent, { recursive: true })
  await sweepScratch(parent)
  for (;;) {
    const folder = join(parent, PREFIX + randomUUID())
    const lock = tryLock(folder + LOCK, 'exclusive')
    // A sweep has come between its making and its locking.
    if (!lock) continue
    await mkdir(folder, { mode: 0o700 })
    return {
      folder,
      async [Symbol.asyncDispose]() {
        await rm(folder, { recursive: true, force: true })
        await unlinkIfThere(folder + LOCK)
        lock[Symbol.dispose]()
      },
    }
  }
}

/** Removes what is left of programs that died. */
async function sweepScratch(parent: string): Promise<void> {
  const locks = (await readdir(parent)).filter((name) => name.startsWith(PREFIX) && name.endsWith(LOCK))
  for (const name of locks) {
    const path = join(parent, name)
    // In a folder that many share only our own: others' locks say nothing to us.
    const found = await lstat(path).catch(() => undefined)
    if (!found?.isFile() || found.uid !== process.getuid?.()) continue
    using lock = tryLock(path, 'exclusive')
    if (!lock) continue
    const folder = path.slice(0, -LOCK.length)
    await undoMerge(folder)
    await rm(folder, { recursive: true, force: true })
    await unlinkIfThere(path)
  }
}
