/**
 * Who is writing into a store just now. Blocks are there before anything names them, so that only a sweep which knows that nobody writes may
 * take what has no name. A run that was killed leaves its mark; the next one finds it and has the store swept. Spec: spec/IMAGES.md#store.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unlinkIfThere } from './block-files.ts'
import { lockFile, tryLock } from './file-lock.ts'

export interface RunOptions {
  /** Removes whatever no name leads to; called while nobody writes. */
  readonly sweep: () => Promise<unknown>
  readonly signal?: AbortSignal | undefined
}

/** Disposed without `finish`, it counts as cut short, and the store is swept at once. */
export interface StoreRun extends AsyncDisposable {
  /** All that was written has its name by now. */
  finish(): Promise<void>
}

export async function beginRun(folder: string, options: RunOptions): Promise<StoreRun> {
  await sweepAfterDead(folder, options)
  const lock = await lockFile(lockPath(folder), 'shared', options)
  const mark = join(runsFolder(folder), randomUUID())
  await mkdir(runsFolder(folder), { recursive: true, mode: 0o700 })
  await writeFile(mark, '')
  let isOver = false
  const end = async () => {
    isOver = true
    lock[Symbol.dispose]()
  }
  return {
    async finish() {
      if (isOver) return
      await unlinkIfThere(mark)
      await end()
    },
    async [Symbol.asyncDispose]() {
      if (isOver) return
      await end()
      await sweepAfterDead(folder, options)
    },
  }
}

/** Does the work while nobody writes; undefined: somebody does. */
export async function whileNobodyWrites<T>(folder: string, work: () => Promise<T>): Promise<T | undefined> {
  using lock = tryLock(lockPath(folder), 'exclusive')
  return lock && (await work())
}

/** Whoever writes holds the lock before he leaves his mark: under the exclusive one, all marks are of the dead. */
async function sweepAfterDead(folder: string, { sweep }: RunOptions): Promise<void> {
  if ((await marksIn(folder)).length === 0) return
  await whileNobodyWrites(folder, async () => {
    const marks = await marksIn(folder)
    await sweep()
    for (const mark of marks) await unlinkIfThere(join(runsFolder(folder), mark))
  })
}

async function marksIn(folder: string): Promise<string[]> {
  // Nobody has written yet: no folder.
  return readdir(runsFolder(folder)).catch(() => [])
}

const lockPath = (folder: string) => join(folder, 'lock')
const runsFolder = (folder: string) => join(folder, 'runs')
