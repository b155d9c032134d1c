/** What the exit status of `trustedpods` means; documented in docs/cli.md#exit-codes. Pure. */
import { type ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { CommanderError } from 'commander'

export const EXIT = {
  OK: 0,
  INTERNAL: 1,
  USAGE: 2,
  MANIFEST: 3,
  NO_OFFER: 4,
  ATTESTATION_REFUSED: 5,
  PAYMENT: 6,
  PROVIDER_REJECTED: 7,
  WORKLOAD_FAILED: 8,
  NETWORK: 9,
  INTERRUPTED: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

type Step = ErrorCode extends infer Code ? (Code extends `${infer First}_${string}` ? First : never) : never

const BY_STEP: Record<Step, ExitCode> = {
  MANIFEST: EXIT.MANIFEST,
  WIRE: EXIT.NETWORK,
  ATTEST: EXIT.ATTESTATION_REFUSED,
  QUOTE: EXIT.NO_OFFER,
  CHANNEL: EXIT.PAYMENT,
  PROVISION: EXIT.PROVIDER_REJECTED,
  STATUS: EXIT.PROVIDER_REJECTED,
  PLATFORM: EXIT.USAGE,
}

/** Codes whose cause lies elsewhere than their step says. */
const EXCEPTIONS: Partial<Record<ErrorCode, ExitCode>> = {
  ATTEST_POLICY_INVALID: EXIT.USAGE,
  ATTEST_STALE: EXIT.NETWORK,
  ATTEST_REQUIRED: EXIT.NETWORK,
  ATTEST_UNAVAILABLE: EXIT.NETWORK,
  CHANNEL_RPC_UNAVAILABLE: EXIT.NETWORK,
  PROVISION_CONTAINER_EXITED: EXIT.WORKLOAD_FAILED,
  PLATFORM_IMAGE_REGISTRY: EXIT.NETWORK,
  PLATFORM_IPFS_NODE: EXIT.NETWORK,
}

/** The exit status for whatever a command threw. `interrupted`: the user asked for an end before it was thrown. */
export function exitCodeOf(error: unknown, { interrupted }: { interrupted: boolean }): ExitCode {
  if (interrupted) return EXIT.INTERRUPTED
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE
  if (!(error instanceof TrustedPodsError)) return EXIT.INTERNAL
  // Our own finding about a lease: its name was wrong, nobody was asked.
  if (stepOf(error.code) === 'STATUS' && !error.remote) return EXIT.USAGE
  // `image fetch` pulls for itself.
  if (error.code === 'PROVISION_IMAGE_FETCH' && !error.remote) return EXIT.NETWORK
  return EXCEPTIONS[error.code] ?? BY_STEP[stepOf(error.code)]
}

function stepOf(code: ErrorCode): Step {
  return code.slice(0, code.indexOf('_')) as Step
}
