/** What the user can do about each failure: one sentence. Pure. */
import type { Action, ErrorCode, TrustedPodsError } from '@trusted-pods/protocol/errors.ts'

const BY_ACTION: Record<Action, string> = {
  'fix-input': 'Correct it and run the command again.',
  retry: 'Try again in a moment; if it stays, try another provider.',
  stop: 'Do not try again with this provider.',
}

/** Where more can be said than the action says. */
const BY_CODE: Partial<Record<ErrorCode, string>> = {
  MANIFEST_SYNTAX: 'Correct the manifest; `trustedpods validate` shows every problem.',
  MANIFEST_INVALID: 'Correct the manifest; `trustedpods validate` shows every problem.',
  MANIFEST_UNREADABLE: 'Name the manifest as the argument, or make one: trustedpods init',
  MANIFEST_IMAGE_NOT_FOUND:
    'Build or pull the image first, or correct its name; docs/cli.md#images has every place that can be named.',
  WIRE_DIAL_FAILED: 'See whether the provider is up, or choose another: trustedpods providers',
  WIRE_INTERNAL: 'The provider has a fault of its own: try again, or choose another provider.',
  WIRE_UNSUPPORTED_PROTOCOL: 'The provider runs another version: choose another one.',
  ATTEST_POLICY_INVALID: 'Correct the policy file.',
  ATTEST_REFUSED:
    'Do not trust this provider. `trustedpods attest` shows every check; the policy decides what is accepted.',
  QUOTE_NO_PROVIDER: 'See what there is and why it does not fit: trustedpods providers',
  QUOTE_NO_CAPACITY: 'Ask for less, wait, or choose another provider: trustedpods providers',
  QUOTE_HOST_TAKEN: 'Choose another host name in the manifest.',
  QUOTE_EXPIRED: 'Run the command again: it asks for a new quote.',
  QUOTE_TOO_EXPENSIVE:
    'Allow more with --max-price or --max-deposit, or choose another provider: trustedpods providers. What was paid already comes back with `trustedpods stop`.',
  CHANNEL_NO_FUNDS: 'Send tokens and gas coin to the wallet, or lower --deposit or --hours.',
  CHANNEL_UNDERFUNDED: 'Raise --deposit or --hours.',
  CHANNEL_RELAY_REFUSED:
    'Send some of the chain’s coin to the wallet and use --funding own, or choose another provider.',
  CHANNEL_WALLET: 'See wallet in the configuration.',
  CHANNEL_WRONG_CHAIN: 'See chain in the configuration.',
  CHANNEL_RPC_UNAVAILABLE:
    'See chain.rpc in the configuration, and registryUrl or registryPeers where one is set; nothing is known, so nothing was given up.',
  CHANNEL_RECEIPT_INVALID: 'Stop the pod: the provider charges for what it did not do.',
  PROVISION_CONTAINER_EXITED:
    'Try its command with this image on your own engine; the deposit comes back by trustedpods stop.',
  STATUS_UNKNOWN_POD: 'See your leases: trustedpods ls',
  PLATFORM_IMAGE_LOGIN: 'Log in there: docker login, podman login or skopeo login.',
  PLATFORM_IMAGE_REGISTRY: 'Try again in a moment, or see whether the registry is up and its name is right.',
  PLATFORM_IPFS_NODE: 'See whether the node runs (ipfs id), and whether ipfsApi names its API address.',
  PLATFORM_ENGINE_MISSING: 'Install or start Docker or Podman, or set engine in the configuration.',
}

export function adviceFor(error: TrustedPodsError): string {
  return BY_CODE[error.code] ?? BY_ACTION[error.action]
}
