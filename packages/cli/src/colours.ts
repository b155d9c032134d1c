/** Terminal colours, or none: not a terminal, NO_COLOR set, TERM=dumb. https://no-color.org. Pure. */
import type { Environment } from './paths.ts'

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, bold: 1, dim: 2 } as const

export type Colours = Record<keyof typeof CODES, (text: string) => string>

export function wantsColour(env: Environment, isTerminal: boolean): boolean {
  return isTerminal && !env.NO_COLOR && env.TERM !== 'dumb'
}

export function coloursFor(enabled: boolean): Colours {
  const paint = (code: number) => (text: string) => (enabled ? `\u001b[${code}m${text}\u001b[0m` : text)
  return {
    red: paint(CODES.red),
    green: paint(CODES.green),
    yellow: paint(CODES.yellow),
    cyan: paint(CODES.cyan),
    bold: paint(CODES.bold),
    dim: paint(CODES.dim),
  }
}
