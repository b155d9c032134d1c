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

/** Control characters that JSON leaves as they are, and those that turn the direction of writing. */
const BEYOND_ASCII = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** A colour, or what moves the cursor or turns the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is sought
const STEERING = /(\u001b\[[\d;]*m)|[\0-\u0008\u000a-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Width of the longest step's name. */
const STEP_WIDTH = 'provision'.length

export function createOutput(stdout: TextStream, stderr: TextStream, { format, quiet, env }: OutputOptions): Output {
  const colours = coloursFor(format === 'pretty' && wantsColour(env, stdout.isTTY === true))
  const progressColours = coloursFor(wantsColour(env, stderr.isTTY === true))
  const progress = (text: string) => {
    if (!quiet) stderr.write(`${steady(text)}\n`)
  }
  return {
    format,
    colours,
    progressColours,
    toTerminal: stdout.isTTY === true,
    result: (text, json) => void stdout.write(`${format === 'json' ? toJsonLine(json) : steady(text)}\n`),
    raw: (text) => void stdout.write(text),
    progress,
    step: (step, text) => progress(`${progressColours.cyan(step.padEnd(STEP_WIDTH))}  ${text}`),
    failure: (text) => void stderr.write(`${steady(text)}\n`),
    next: (...commands) => {
      for (const command of commands) progress(`${progressColours.bold('Next:')} ${command}`)
    },
  }
}

/** JSON on one line: bigint as decimal digits, bytes as 0x hex, dates as ISO 8601; what steers a terminal is escaped. */
export function toJsonLine(value: unknown): string {
  const json = JSON.stringify(value, (_, held) => {
    if (typeof held === 'bigint') return held.toString()
    return held instanceof Uint8Array ? `0x${Buffer.from(held).toString('hex')}` : held
  })
  return json.replace(BEYOND_ASCII, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Lines of ours, whoever's words are in them: colours and line ends stay, nothing moves the cursor. */
function steady(text: string): string {
  return text.split('\n').map(forTerminal).join('\n')
}

/** Text from outside that goes among ours: one line, without colours too, which could hide what stands beside it. */
export function plainText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
}

/** Text from outside without what steers a terminal; tabs and SGR colours stay. */
export function forTerminal(text: string): string {
  return text.replace(STEERING, (_, colour) => colour ?? '\ufffd')
}
