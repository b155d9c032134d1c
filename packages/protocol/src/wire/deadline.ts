/** The time limits of an exchange, and what their end means. Pure. */
import { TrustedPodsError } from '../errors.ts'

/** A signal that aborts with WIRE_TIMEOUT after `timeoutMs`, or when any of the others does. For a limit that holds once. */
export function deadline(timeoutMs: number, ...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any([AbortSignal.timeout(timeoutMs), ...signals.filter((signal) => signal !== undefined)])
}

export interface DeadlineOptions {
  /** Abort this one too, each with its own reason. */
  readonly signals?: readonly (AbortSignal | undefined)[]
  /** What the signal aborts with when time is up; default a TimeoutError, which `toWireError` makes WIRE_TIMEOUT. */
  readonly reason?: () => Error
}

/** A limit that holds anew for each of many steps, with one signal and at most one timer. Nothing is due before the first step. */
export class Deadline implements Disposable {
  readonly #timeoutMs: number
  readonly #reason: () => Error
  readonly #controller = new AbortController()
  /** Gone with this one, so that a signal that outlives it keeps no listeners. */
  readonly #disposal = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(timeoutMs: number, { signals = [], reason = timedOut }: DeadlineOptions = {}) {
    this.#timeoutMs = timeoutMs
    this.#reason = reason
    for (const signal of signals) this.#follow(signal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Runs one step within the limit; between two steps nothing is due. */
  async during<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.restart()
    try {
      return await step(this.signal)
    } finally {
      clearTimeout(this.#timer)
    }
  }

  /** Counts from now; what aborted stays so. */
  restart(): void {
    clearTimeout(this.#timer)
    if (this.signal.aborted || this.#disposal.signal.aborted) return
    this.#timer = setTimeout(() => this.#controller.abort(this.#reason()), this.#timeoutMs)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#disposal.abort()
  }

  #abort(reason: unknown): void {
    clearTimeout(this.#timer)
    this.#controller.abort(reason)
  }

  #follow(signal: AbortSignal | undefined): void {
    if (signal?.aborted) this.#abort(signal.reason)
    signal?.addEventListener('abort', () => this.#abort(signal.reason), { signal: this.#disposal.signal })
  }
}

function timedOut(): Error {
  return new DOMException('the time limit is over', 'TimeoutError')
}

/** A failure under a deadline as our error: a time-out is WIRE_TIMEOUT, a lost stream WIRE_CLOSED, the caller's own abort stays. */
export function toWireError(error: unknown, protocolId: string): unknown {
  if (error instanceof TrustedPodsError) return error
  // The library rejects with the event itself where a stream ends while it is waited for.
  if (error instanceof Event)
    return new TrustedPodsError('WIRE_CLOSED', `${protocolId}: the stream was closed`, { cause: error })
  if (!(error instanceof Error)) return error
  if (error.name === 'TimeoutError')
    return new TrustedPodsError('WIRE_TIMEOUT', `${protocolId} took too long`, { cause: error })
  if (error.name === 'AbortError') return error
  if (error.name === 'UnsupportedProtocolError') {
    return new TrustedPodsError('WIRE_UNSUPPORTED_PROTOCOL', `the peer does not speak ${protocolId}`, { cause: error })
  }
  return new TrustedPodsError('WIRE_CLOSED', `${protocolId}: ${error.message}`, { cause: error })
}
