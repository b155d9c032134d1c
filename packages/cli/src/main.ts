/** `trustedpods`: checks the Node version before it loads anything that needs it, and ends on Ctrl-C. */
import module from 'node:module'
import { join } from 'node:path'
import process from 'node:process'
import { cacheFolder } from './paths.ts'

const NEEDED_MAJOR = 24
/** A terminal and the launcher both hand on one Ctrl-C: what comes this soon after it is the same one. */
const SAME_SIGNAL_MS = 500

const major = Number(process.versions.node.split('.')[0])
if (major < NEEDED_MAJOR) {
  process.stderr.write(`error: Node ${NEEDED_MAJOR} is needed, this is ${process.versions.node}\n`)
  process.exit(1)
}

// What was compiled once is not compiled again: half of the time that a command takes to start. A folder that cannot be written changes nothing.
module.enableCompileCache(join(cacheFolder(process.env), 'compiled'))
const { runProgram } = await import('./program.ts')
const { stdout, stderr, stdin, env } = process
const signal = endSignal()
process.exitCode = await runProgram(process.argv.slice(2), { stdout, stderr, stdin, env, signal })
// What an interruption left waiting would hold the process up.
if (signal.aborted) process.exit()

/** Aborts at the first SIGINT, SIGTERM or SIGHUP; a second one does not wait for anything. */
function endSignal(): AbortSignal {
  const ending = new AbortController()
  let firstAt: number | undefined
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (firstAt !== undefined && performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(130)
      firstAt ??= performance.now()
      ending.abort(new DOMException(`ended by ${name}`, 'AbortError'))
    })
  }
  return ending.signal
}
