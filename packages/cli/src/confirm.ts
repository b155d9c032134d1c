/** A question that money hangs on: asked on the terminal, answered by a person or by --yes. */
import { createInterface } from 'node:readline/promises'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { Context } from './context.ts'

/** Whether there is somebody to ask. */
export function isInteractive({ around: { stdin, stderr } }: Context): boolean {
  return stdin.isTTY === true && stderr.isTTY === true
}

/** @throws TrustedPodsError PLATFORM_CONFIG without a terminal: silence is not consent. */
export function requireSomebodyToAsk(context: Context): void {
  if (isInteractive(context)) return
  throw new TrustedPodsError('PLATFORM_CONFIG', 'there is no terminal to ask on: add --yes to agree beforehand')
}

/** Yes only for y or yes. @throws the signal's reason when the user interrupts. */
export async function askYesNo(context: Context, question: string): Promise<boolean> {
  requireSomebodyToAsk(context)
  const { stdin, stderr } = context.around
  const prompt = createInterface({ input: stdin, output: stderr as unknown as NodeJS.WritableStream })
  // In raw mode the terminal hands Ctrl-C to readline, not to the process.
  prompt.on('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `, { signal: context.signal })).trim())
  } finally {
    prompt.close()
  }
}
