/** Streams that keep what is written to them, for tests of the command line. */
import type { TextStream } from '../../packages/cli/src/output.ts'

export interface MemoryStream extends TextStream {
  text(): string
}

export function memoryStream(isTTY = false): MemoryStream {
  const parts: string[] = []
  return { isTTY, write: (text) => parts.push(text), text: () => parts.join('') }
}
