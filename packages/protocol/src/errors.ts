/**
 * The one error class and its closed codes. The first word of a code is the protocol's step (PLATFORM: this machine).
 * Spec: spec/PROTOCOL.md#refusals. Pure.
 */

/** What the caller should do: correct the input, try again (later or elsewhere), or stop. */
export type Action = 'fix-input' | 'retry' | 'stop'

/** Every code and its action. A code that is not here does not exist. */
const ACTIONS = {
  MANIFEST_SYNTAX: 'fix-input',
  MANIFEST_INVALID: 'fix-input',
  MANIFEST_UNREADABLE: 'fix-input',
  MANIFEST_IMAGE_NOT_FOUND: 'fix-input',
  MANIFEST_IMAGE_INVALID: 'fix-input',
  WIRE_FRAME_TOO_LONG: 'stop',
  WIRE_TRUNCATED: 'retry',
  WIRE_MALFORMED: 'stop',
  WIRE_TIMEOUT: 'retry',
  WIRE_DIAL_FAILED: 'retry',
  WIRE_UNSUPPORTED_PROTOCOL: 'stop',
  WIRE_BUSY: 'retry',
  WIRE_CLOSED: 'retry',
  WIRE_INTERNAL: 'retry',
  ATTEST_POLICY_INVALID: 'fix-input',
  ATTEST_BAD_REQUEST: 'fix-input',
  ATTEST_UNKNOWN_EVIDENCE_TYPE: 'stop',
  ATTEST_EVIDENCE_MALFORMED: 'stop',
  ATTEST_REFUSED: 'stop',
  ATTEST_STALE: 'retry',
  ATTEST_REQUIRED: 'retry',
  ATTEST_UNAVAILABLE: 'retry',
  QUOTE_BAD_REQUEST: 'fix-input',
  QUOTE_UNKNOWN_RESOURCE: 'fix-input',
  QUOTE_NO_CAPACITY: 'retry',
  QUOTE_HOST_TAKEN: 'fix-input',
  QUOTE_NO_PROVIDER: 'retry',
  QUOTE_PRICES_INVALID: 'fix-input',
  QUOTE_SIGNATURE: 'stop',
  QUOTE_EXPIRED: 'retry',
  QUOTE_MISMATCH: 'stop',
  QUOTE_TOO_EXPENSIVE: 'fix-input',
  CHANNEL_BAD_AMOUNT: 'fix-input',
  CHANNEL_BAD_TERMS: 'stop',
  CHANNEL_WRONG_CHAIN: 'fix-input',
  CHANNEL_NOT_FOUND: 'retry',
  CHANNEL_UNDERFUNDED: 'fix-input',
  CHANNEL_CLOSING: 'stop',
  CHANNEL_IN_USE: 'stop',
  CHANNEL_SIGNATURE: 'stop',
  CHANNEL_RECEIPT_INVALID: 'stop',
  CHANNEL_RPC_UNAVAILABLE: 'retry',
  CHANNEL_TRANSACTION_FAILED: 'retry',
  CHANNEL_NO_FUNDS: 'fix-input',
  CHANNEL_WALLET: 'fix-input',
  CHANNEL_RELAY_REFUSED: 'fix-input',
  CHANNEL_REGISTRY_RECORD: 'stop',
  PROVISION_UNSEALING_FAILED: 'stop',
  PROVISION_BAD_POD: 'fix-input',
  PROVISION_BAD_REQUEST: 'fix-input',
  PROVISION_KEY_REUSED: 'fix-input',
  PROVISION_OVER_QUOTE: 'fix-input',
  PROVISION_IMAGE_FETCH: 'retry',
  PROVISION_IMAGE_REFUSED: 'stop',
  PROVISION_RUNTIME: 'retry',
  PROVISION_RUNTIME_MISMATCH: 'stop',
  PROVISION_CONTAINER_EXITED: 'fix-input',
  STATUS_UNKNOWN_POD: 'fix-input',
  STATUS_UNKNOWN_CONTAINER: 'fix-input',
  STATUS_NOT_RUNNING: 'fix-input',
  PLATFORM_ENGINE_MISSING: 'fix-input',
  PLATFORM_ENGINE_FAILED: 'retry',
  PLATFORM_IMAGE_REGISTRY: 'retry',
  PLATFORM_IMAGE_LOGIN: 'fix-input',
  PLATFORM_IPFS_NODE: 'retry',
  PLATFORM_CONFIG: 'fix-input',
  PLATFORM_STATE: 'fix-input',
} as const satisfies Record<string, Action>

export type ErrorCode = keyof typeof ACTIONS

/** What may be told along with the cause: whether the peer said so, and where. */
export interface ErrorOptions {
  cause?: unknown
  /** The peer told us this: data, not our own finding. */
  remote?: boolean
}

/** A failure with a closed code. The message says what was seen and what was wanted, never a secret. */
export class TrustedPodsError extends Error {
  override readonly name = 'TrustedPodsError'
  readonly code: ErrorCode
  readonly remote: boolean

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.remote = options.remote ?? false
  }

  /** What to do about it. */
  get action(): Action {
    return ACTIONS[this.code]
  }
}

/** Whether a string that came from outside is one of our codes. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ACTIONS, code)
}

/** Any thrown value as our error: ours stays, another becomes `code` with it as the cause. */
export function toTrustedPodsError(error: unknown, code: ErrorCode): TrustedPodsError {
  if (error instanceof TrustedPodsError) return error
  return new TrustedPodsError(code, error instanceof Error ? error.message : String(error), { cause: error })
}
