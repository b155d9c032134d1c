/**
 * Locks on a file, shared or exclusive, which the kernel takes back when their holder dies, however it ends. They are SQLite's own: Node
 * has no other lock. They hold between the processes of one machine, also where these cannot see each other's process ids. I/O.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

/** 50 ms between two tries: held for as long as a store is swept. */
const RETRY_MS = 50

export type LockKind = 'shared' | 'exclusive'

const BEGIN: Record<LockKind, string> = {
  // A transaction that has read holds on until it ends.
  shared: 'BEGIN; SELECT * FROM sqlite_schema',
  exclusive: 'BEGIN EXCLUSIVE',
}

/** SQLite's result code for "somebody else holds it". */
const SQLITE_BUSY = 5

/** Held until disposed; undefined: others hold it. The file is made, and stays. */
export function tryLock(path: string, kind: LockKind): Disposable | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const file = new DatabaseSync(path)
  try {
    // A journal in a file of its own would stay behind.
    file.exec(`PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; ${BEGIN[kind]}`)
    return { [Symbol.dispose]: () => file.close() }
  } catch (error) {
    file.close()
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return undefined
    throw error
  }
}

/** Waits for it. */
export async function lockFile(
  path: string,
  kind: LockKind,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Disposable> {
  for (;;) {
    const lock = tryLock(path, kind)
    if (lock) return lock
    await sleep(RETRY_MS, undefined, signal ? { signal } : {})
  }
}
