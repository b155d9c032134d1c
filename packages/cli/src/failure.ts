/** How a failure is told: its code, one sentence, what to do; the stack only with --debug. Pure. */
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { adviceFor } from './advice.ts'
import { type Output, plainText, toJsonLine } from './output.ts'

export interface FailureOptions {
  debug: boolean
  interrupted: boolean
}

/** One entry of the closed list in JSON output, besides our own codes. */
type OtherCode = 'INTERRUPTED' | 'INTERNAL'

export interface FailureView {
  readonly code: TrustedPodsError['code'] | OtherCode
  readonly message: string
  readonly advice: string
  /** The provider said so. */
  readonly remote: boolean
}

export function viewFailure(error: unknown, { interrupted }: Pick<FailureOptions, 'interrupted'>): FailureView {
  if (interrupted) return { code: 'INTERRUPTED', message: 'stopped at your wish', advice: '', remote: false }
  if (error instanceof TrustedPodsError) {
    const { code, message, remote } = error
    return { code, message: plainMessage(error, message), advice: adviceFor(error), remote }
  }
  const message = plainText(error instanceof Error ? error.message : String(error))
  return {
    code: 'INTERNAL',
    message,
    advice: 'This is a fault of ours: run it again with --debug and report it.',
    remote: false,
  }
}

/** What may repeat a stranger's words stays one line of text: it must not read as lines of ours. */
function plainMessage({ code, remote }: TrustedPodsError, message: string): string {
  const isOurs = !remote && /^(MANIFEST|PLATFORM|ATTEST_POLICY)_/.test(code)
  return (isOurs ? message.split('\n') : [message]).map(plainText).join('\n')
}

/** On stderr; with -o json as one JSON object. */
export function printFailure(output: Output, error: unknown, options: FailureOptions): void {
  const view = viewFailure(error, options)
  if (output.format === 'json') output.failure(toJsonLine({ error: view }))
  else output.failure(formatFailure(view, output))
  if (options.debug && error instanceof Error) output.failure(stackOf(error))
}

function formatFailure({ code, message, advice, remote }: FailureView, { progressColours }: Output): string {
  const head = `${progressColours.red('error:')} ${progressColours.bold(code)}${remote ? ' (told by the provider)' : ''}`
  const lines = message.split('\n').map((line) => `  ${line}`)
  return [head, ...lines, ...(advice === '' ? [] : [`  ${advice}`])].join('\n')
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : ''
  return `${error.stack ?? error.message}${cause}`
}
