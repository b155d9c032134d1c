// Finds Node 24 and hands over to it. Plain JavaScript that runs on Node 20.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'

const NEEDED_MAJOR = 24

/** Path of a Node that is new enough: this one, or the one that npm installed beside us. */
export function findNode24() {
  if (Number(process.versions.node.split('.')[0]) >= NEEDED_MAJOR) return process.execPath
  const name = `node-linux-${process.arch}`
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/node`)
  } catch {
    process.stderr.write(
      `Node ${NEEDED_MAJOR} is needed, this is ${process.versions.node}, and the npm package ${name} is not installed: run npm ci, or install Node ${NEEDED_MAJOR}\n`,
    )
    process.exit(1)
  }
}

export const NODE_FLAGS = [
  '--conditions=@trusted-pods/source',
  '--disable-warning=ExperimentalWarning',
  // Blocks and chunks lie outside of V8's heap but count against its limit, which follows the heap and is a few dozen MiB in programs as small
  // as ours: each 5 MiB of an image then cost a collection of everything, half of a provider's time. (MiB)
  '--initial-old-space-size=128',
  // What lives short is collected in smaller portions than V8's 16 MiB: 25 MiB less memory with an image, and no slower. (MiB)
  '--max-semi-space-size=4',
]

/**
 * For glibc's allocator: two heaps, not one for each thread, which would each keep what was freed of an image. (Giving every block back to the
 * system by MALLOC_MMAP_THRESHOLD_ saves another 20 to 70 MB and costs half of the speed: each block's pages are then new.)
 */
const MEMORY = { MALLOC_ARENA_MAX: '2' }

/** Runs Node 24 with these arguments in our place: same terminal, same signals, same exit status. */
export function runOnNode24(args) {
  const child = spawn(findNode24(), [...NODE_FLAGS, ...args], {
    stdio: 'inherit',
    env: { ...MEMORY, ...process.env },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    if (!signal) process.exit(code ?? 1)
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name)
    process.kill(process.pid, signal)
  })
}
