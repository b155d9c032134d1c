/** One deadline per exchange, and what its end means. Pure. */
import { TrustedPodsError } from '../errors.ts'

/** A signal that aborts with WIRE_TIMEOUT after `timeoutMs`, or when any of the others does. */
export function deadline(timeoutMs: number, ...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any([AbortSignal.timeout(timeoutMs), ...signals.filter((signal) => signal !== undefined)])
}

/** A failure under a deadline as our error: a time-out is WIRE_TIMEOUT, a lost stream WIRE_CLOSED, the caller's own abort stays. */
export function toWireError(error: unknown, protocolId: string): unknown {
  if (error instanceof TrustedPodsError) return error
  if (!(error instanceof Error)) return error
  if (error.name === 'TimeoutError')
    return new TrustedPodsError('WIRE_TIMEOUT', `${protocolId} took too long`, { cause: error })
  if (error.name === 'AbortError') return error
  if (error.name === 'UnsupportedProtocolError') {
    return new TrustedPodsError('WIRE_UNSUPPORTED_PROTOCOL', `the peer does not speak ${protocolId}`, { cause: error })
  }
  return new TrustedPodsError('WIRE_CLOSED', `${protocolId}: ${error.message}`, { cause: error })
}
