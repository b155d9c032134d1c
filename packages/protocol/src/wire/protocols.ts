/** Every protocol id, and every bound on what a peer may send or hold. Spec: spec/PROTOCOL.md#limits. Pure. */

export interface ProtocolLimits {
  readonly id: string
  /** Longest frame from the side that asks, bytes. */
  readonly requestBytes: number
  /** Longest frame from the side that answers, bytes. */
  readonly responseBytes: number
  /** The whole exchange; for a stream of messages, the longest silence between two. */
  readonly timeoutMs: number
  /** Streams of this protocol that one connection may hold open. */
  readonly streamsPerConnection: number
  /** Exchanges that a provider serves at once; absent: `EXCHANGES`. */
  readonly concurrent?: Concurrency
}

/** Counted from when the request was read until the answer is sent. */
export interface Concurrency {
  /** Over all peers. */
  readonly total: number
  readonly perPeer: number
}

const KIB = 1024

/** Nonce in, evidence and endorsements out. 20 s: report, certificate fetch and round trip to a cold provider. */
export const ATTEST = {
  id: '/trusted-pods/attest/0.0.1',
  requestBytes: 16 * KIB,
  responseBytes: 512 * KIB,
  timeoutMs: 20_000,
  streamsPerConnection: 4,
} as const satisfies ProtocolLimits

export const CAPACITY = {
  id: '/trusted-pods/provisioning-capacity/0.0.1',
  requestBytes: 16 * KIB,
  responseBytes: 64 * KIB,
  timeoutMs: 10_000,
  streamsPerConnection: 4,
} as const satisfies ProtocolLimits

/** 60 s of silence at most: the provider sends a status at least every 15 s while it works. */
export const PROVISION = {
  id: '/trusted-pods/provision-service/0.0.1',
  requestBytes: 2048 * KIB,
  responseBytes: 64 * KIB,
  timeoutMs: 60_000,
  streamsPerConnection: 4,
} as const satisfies ProtocolLimits

/** Followed for as long as a pod runs, which costs a message every 15 s. */
export const STATUS = {
  id: '/trusted-pods/status/0.0.1',
  requestBytes: 1 * KIB,
  responseBytes: 64 * KIB,
  timeoutMs: 60_000,
  streamsPerConnection: 8,
  concurrent: { total: 1024, perPeer: 32 },
} as const satisfies ProtocolLimits

/** Followed like a status, but each holds a connection to the container engine. */
export const LOGS = {
  id: '/trusted-pods/logs/0.0.1',
  requestBytes: 1 * KIB,
  responseBytes: 32 * KIB,
  timeoutMs: 60_000,
  streamsPerConnection: 8,
  concurrent: { total: 512, perPeer: 16 },
} as const satisfies ProtocolLimits

/** 120 s: containers get their time to end, and a transaction to be mined. */
export const STOP = {
  id: '/trusted-pods/stop/0.0.1',
  requestBytes: 1 * KIB,
  responseBytes: 64 * KIB,
  timeoutMs: 120_000,
  streamsPerConnection: 2,
} as const satisfies ProtocolLimits

/** A signature and nothing more. */
export const VOUCHER = {
  id: '/trusted-pods/voucher/0.0.1',
  requestBytes: 1 * KIB,
  responseBytes: 4 * KIB,
  timeoutMs: 10_000,
  streamsPerConnection: 2,
} as const satisfies ProtocolLimits

/** 120 s: the provider sends the top-up and waits until it is mined. */
export const FUND = {
  id: '/trusted-pods/fund/0.0.1',
  requestBytes: 1 * KIB,
  responseBytes: 4 * KIB,
  timeoutMs: 120_000,
  streamsPerConnection: 2,
} as const satisfies ProtocolLimits

/** The publisher serves, the provider pulls: at most 16 blocks asked for at once, 1 MiB and its frame each. */
export const BLOCKS = {
  id: '/trusted-pods/blocks/0.0.1',
  requestBytes: 4 * KIB,
  responseBytes: 1024 * KIB + 4 * KIB,
  timeoutMs: 60_000,
  streamsPerConnection: 8,
} as const satisfies ProtocolLimits

/** A provider's own signed record, for whoever found the provider without a registry. */
export const PROVIDER_RECORD = {
  id: '/trusted-pods/provider-record/0.0.1',
  requestBytes: 1 * KIB,
  responseBytes: 8 * KIB,
  timeoutMs: 10_000,
  streamsPerConnection: 2,
} as const satisfies ProtocolLimits

/** How long a status stream may be silent before the sender repeats itself. */
export const STATUS_INTERVAL_MS = 15_000
/** Evidence older than this, by the verifier's own clock since it drew the nonce, is stale. */
export const NONCE_LIFETIME_MS = 60_000
/** A session ends this long after its evidence was made; provisioning later attests again. */
export const SESSION_LIFETIME_MS = 10 * 60_000
/** Exchanges of one protocol that are served at once, over all peers. */
export const EXCHANGES_PER_PROTOCOL = 64
/** And for one peer id: eight of them fill the places, not one. Peer ids cost nothing, so this bounds mistakes and greed, not malice. */
export const EXCHANGES_PER_PEER = 8
export const EXCHANGES = { total: EXCHANGES_PER_PROTOCOL, perPeer: EXCHANGES_PER_PEER } as const satisfies Concurrency
/** A stream whose request is not there by then is refused, whatever the protocol's own limit: 2 MiB take 10 s at 1.7 Mbit/s. */
export const REQUEST_TIMEOUT_MS = 10_000
/** Streams of one protocol whose request is still awaited, over all peers. */
export const UNREAD_STREAMS = 256
/** And what their requests may need in memory all together, by the protocol's longest. */
export const UNREAD_BYTES = 128 * 1024 * KIB
/** Longest text of a refusal or status that is sent or shown. */
export const MESSAGE_BYTES = 1024

export const MAX_CONTAINERS = 16
export const MAX_VOLUMES = 32
export const MAX_MOUNTS = 32
export const MAX_PORTS = 32
export const MAX_ENV = 256
export const MAX_ARGS = 256
export const MAX_RESOURCES = 32
export const MAX_SECRET_BYTES = 256 * KIB
