/** Refusals on the wire, to and from our error. Spec: spec/PROTOCOL.md#refusals. Pure. */
import { create } from '@bufbuild/protobuf'
import { type Action as ActionName, type ErrorCode, isErrorCode, TrustedPodsError } from '../errors.ts'
import { Action, type Refusal, RefusalSchema } from '../gen/trustedpods/v0/refusal_pb.ts'
import { MESSAGE_BYTES } from './protocols.ts'

const ACTIONS: Record<ActionName, Action> = { 'fix-input': Action.FIX_INPUT, retry: Action.RETRY, stop: Action.STOP }

/** What the peer may know of a failure: our own errors as they are, anything else only as WIRE_INTERNAL. */
export function toRefusal(error: unknown): Refusal {
  const known = error instanceof TrustedPodsError ? error : new TrustedPodsError('WIRE_INTERNAL', 'internal error')
  return create(RefusalSchema, { code: known.code, message: boundText(known.message), action: ACTIONS[known.action] })
}

/** The peer's refusal as an error of ours, marked as remote. An unknown code becomes WIRE_MALFORMED and keeps its text. */
export function fromRefusal(refusal: Refusal): TrustedPodsError {
  const known = isErrorCode(refusal.code)
  const code: ErrorCode = known ? (refusal.code as ErrorCode) : 'WIRE_MALFORMED'
  const text = boundText(refusal.message)
  return new TrustedPodsError(code, known ? text : `unknown refusal ${boundText(refusal.code)}: ${text}`, {
    remote: true,
  })
}

/** @throws TrustedPodsError the refusal, marked as remote. */
export function throwRefusal(refusal: Refusal): never {
  throw fromRefusal(refusal)
}

/** Text that came from outside or goes there: bounded, one line, without control characters. */
export function boundText(text: string): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
  return clean.length <= MESSAGE_BYTES / 4 ? clean : `${clean.slice(0, MESSAGE_BYTES / 4 - 1)}…`
}
