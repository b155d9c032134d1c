/**
 * One holder of a name on this machine at a time, without a file to leave behind: the lock is an abstract unix socket
 * (unix(7)), which the kernel frees with its process. Linux. I/O.
 */
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** 100 ms between two tries. */
const RETRY_MS = 100

/** Waits until nobody holds `name`, then holds it until disposed. */
export async function holdLock(
  name: string,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<AsyncDisposable> {
  const address = `\0trusted-pods-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`
  for (;;) {
    const lock = await tryLock(address)
    if (lock) return lock
    await sleep(RETRY_MS, undefined, signal ? { signal } : {})
  }
}

async function tryLock(address: string): Promise<AsyncDisposable | undefined> {
  const server = createServer((socket) => socket.destroy())
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  server.once('listening', () => resolve(true))
  server.once('error', (error) => ('code' in error && error.code === 'EADDRINUSE' ? resolve(false) : reject(error)))
  server.listen({ path: address })
  if (!(await promise)) return undefined
  server.unref()
  return { [Symbol.asyncDispose]: () => new Promise((settle) => server.close(() => settle())) }
}
