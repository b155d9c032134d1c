/** Outside programs that judge us; where one is missing, what it would prove is skipped aloud. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { findProgram } from '@trusted-pods/platform/engine/find-program.ts'

/** false: all are here; else why the tests are skipped. */
export async function skipWithout(...programs: string[]): Promise<string | false> {
  const found = await Promise.all(programs.map(findProgram))
  const missing = programs.filter((_, i) => found[i] === undefined)
  if (missing.length === 0) return false
  const reason = `SKIPPED: ${missing.join(', ')} not installed here, so nothing was proven against it`
  console.warn(reason)
  return reason
}

/** Its stdout. @throws with its stderr where it fails. */
export async function runProgramOf(program: string, args: readonly string[], cwd?: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 2 ** 26, ...(cwd !== undefined && { cwd }) })
  return stdout
}
