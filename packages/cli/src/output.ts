/** Results on stdout, everything for the eye on stderr. The only file besides main.ts that knows either. Spec: docs/cli.md#output. */
import type { Step } from '@trusted-pods/publisher/deploy-event.ts'
import { type Colours, coloursFor, wantsColour } from './colours.ts'
import type { Environment } from './paths.ts'

export type Format = 'pretty' | 'json'
export const FORMATS = ['pretty', 'json'] as const satisfies readonly Format[]

/** What is needed of process.stdout and process.stderr. */
export interface TextStream {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export interface Output {
  readonly format: Format
  /** Colours for results. */
  readonly colours: Colours
  /** Colours for progress. */
  readonly progressColours: Colours
  /** Whether results go to a terminal: text of strangers must not steer it. */
  readonly toTerminal: boolean
  /** One result: text for people, or one JSON value on one line. */
  result(text: string, json: unknown): void
  /** Raw result text without a line end of ours. */
  raw(text: string): void
  /** A line of progress. */
  progress(text: string): void
  /** A line of progress named by the protocol's step. */
  step(step: Step, text: string): void
  /** A failure: on stderr even when quiet. */
  failure(text: string): void
  /** What the user may want to do now. */
  next(...commands: string[]): void
}

export interface OutputOptions {
  format: Format
  quiet: boolean
  env: Environment
}

/** Width of the longest step's name. */
const STEP_WIDTH = 'provision'.length

export function createOutput(stdout: TextStream, stderr: TextStream, { format, quiet, env }: OutputOptions): Output {
  const colours = coloursFor(format === 'pretty' && wantsColour(env, stdout.isTTY === true))
  const progressColours = coloursFor(wantsColour(env, stderr.isTTY === true))
  const progress = (text: string) => {
    if (!quiet) stderr.write(`${text}\n`)
  }
  return {
    format,
    colours,
    progressColours,
    toTerminal: stdout.isTTY === true,
    result: (text, json) => void stdout.write(`${format === 'json' ? toJsonLine(json) : text}\n`),
    raw: (text) => void stdout.write(text),
    progress,
    step: (step, text) => progress(`${progressColours.cyan(step.padEnd(STEP_WIDTH))}  ${text}`),
    failure: (text) => void stderr.write(`${text}\n`),
    next: (...commands) => {
      for (const command of commands) progress(`${progressColours.bold('Next:')} ${command}`)
    },
  }
}

/** JSON on one line: bigint as decimal digits, bytes as 0x hex, dates as ISO 8601. */
export function toJsonLine(value: unknown): string {
  return JSON.stringify(value, (_, held) => {
    if (typeof held === 'bigint') return held.toString()
    return held instanceof Uint8Array ? `0x${Buffer.from(held).toString('hex')}` : held
  })
}

/** Text from outside without what steers a terminal; tabs and SGR colours stay. */
export function forTerminal(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is sought
  return text.replace(/(\u001b\[[\d;]*m)|[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, (_, colour) => colour ?? '\ufffd')
}
