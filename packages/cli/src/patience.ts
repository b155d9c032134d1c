/** A line of progress for what takes longer than expected, so that silence is never all there is. */
import type { Output } from './output.ts'

/** 3 s: a provider that is up answers within one. */
const EXPECTED_MS = 3_000

/** Says once that `what` is waited for, unless it is disposed before. */
export function tellWaiting({ progress }: Pick<Output, 'progress'>, what: string): Disposable {
  const timer = setTimeout(() => progress(`waiting for ${what}; Ctrl-C ends it`), EXPECTED_MS)
  return { [Symbol.dispose]: () => clearTimeout(timer) }
}
