/** What every command is given: where to write, what was configured, when to end. */

import type { Output, TextStream } from './output.ts'
import type { Environment } from './paths.ts'

export interface TextInput {
  readonly isTTY?: boolean
}

/** The process around the program; tests bring their own. */
export interface Surroundings {
  readonly stdout: TextStream
  readonly stderr: TextStream
  readonly stdin: NodeJS.ReadableStream & TextInput
  readonly env: Environment
  /** Aborts when the user wants an end. */
  readonly signal: AbortSignal
}

export interface Context {
  readonly output: Output
  readonly around: Surroundings
  readonly signal: AbortSignal
  readonly configPath: string
  readonly stateFolder: string
  readonly debug: boolean
}
