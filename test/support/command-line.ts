/** `trustedpods` in this process, as its user would type it. */
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { runProgram } from '../../packages/cli/src/program.ts'
import { memoryStream } from './memory-stream.ts'
import type { World } from './world.ts'

export interface Typed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One command line of the world's publisher, without a terminal. */
export async function typeCommand({ places }: World, args: readonly string[], signal?: AbortSignal): Promise<Typed> {
  const [stdout, stderr] = [memoryStream(), memoryStream()]
  const env = { TRUSTEDPODS_CONFIG: places.publisherConfig, XDG_STATE_HOME: join(places.folder, 'publisher', 'state') }
  const stdin = Readable.from([])
  const code = await runProgram(args, {
    stdout,
    stderr,
    stdin,
    env,
    signal: signal ?? new AbortController().signal,
  })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}
