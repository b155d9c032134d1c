/**
 * The DHT in which providers are found without a chain: /trusted-pods/kad/1.0.0, begun by anybody's own peers. Whoever provides the
 * content id of a registry says that it has a record for it, and is asked for the record itself. Spec: spec/REGISTRY.md#dht.
 */
import type { Connection, Libp2p } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import { create as createMultihash } from 'multiformats/hashes/digest'
import type { Address } from 'viem'
import { sha256 } from '../bytes.ts'
import { TrustedPodsError } from '../errors.ts'

export interface DhtPlace {
  readonly chainId: number | bigint
  readonly registry: Address
}

const RAW = 0x55
const SHA2_256 = 0x12
/** 10 s to reach one peer: the others are asked at the same time. */
const JOIN_TIMEOUT_MS = 10_000

/** What every provider of a registry provides. */
export async function rendezvousCid({ chainId, registry }: DhtPlace): Promise<CID> {
  const text = `/trusted-pods/providers/${chainId}/${registry.toLowerCase()}`
  const digest = await sha256(new TextEncoder().encode(text))
  return CID.createV1(RAW, createMultihash(SHA2_256, digest))
}

/** Connections to the peers that lead into the DHT; one is enough.
 * @throws TrustedPodsError CHANNEL_RPC_UNAVAILABLE when none of them answers: nothing is known, which is not "no providers". */
export async function joinDht(
  node: Pick<Libp2p, 'dial'>,
  bootstrap: readonly string[],
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Connection[]> {
  const timeout = AbortSignal.timeout(JOIN_TIMEOUT_MS)
  const limit = signal ? AbortSignal.any([timeout, signal]) : timeout
  const dials = bootstrap.map(async (text) => node.dial(multiaddr(text), { signal: limit }))
  const results = await Promise.allSettled(dials)
  signal?.throwIfAborted()
  const connections = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  if (connections.length > 0) return connections
  const [first] = results
  const reason = first?.status === 'rejected' ? String(first.reason) : 'none is named'
  throw new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', `no peer leads into the DHT: ${reason}`, {
    cause: first?.status === 'rejected' ? first.reason : undefined,
  })
}
