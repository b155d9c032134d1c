/**
 * Providers from the DHT: those who provide the registry's content id, each asked for its own record. Nobody announced them, so the
 * account in each is only its own word, and anybody can be there: a source for trying things out and for fleets whose publishers name
 * the provider. Spec: spec/REGISTRY.md#dht.
 */
import type { Connection, Libp2p, PeerInfo } from '@libp2p/interface'
import { TrustedPodsError, toTrustedPodsError } from '../errors.ts'
import { ProviderRecordRequestSchema, ProviderRecordResponseSchema } from '../gen/trustedpods/v0/registry_pb.ts'
import { request } from '../wire/exchange.ts'
import { PROVIDER_RECORD } from '../wire/protocols.ts'
import { boundText, throwRefusal } from '../wire/refusal.ts'
import { type DhtPlace, joinDht, rendezvousCid } from './dht.ts'
import { openRow, type ReadOptions, type RegistryRow, type RegistrySource } from './source.ts'

/** Peers asked for their record: whoever fills the DHT with more gains nothing. */
const MAX_PEERS = 256
const PARALLEL_PEERS = 8
/** 30 s: a walk over a few hops of slow peers. */
const WALK_TIMEOUT_MS = 30_000
/** 10 s for one peer's connection. */
const DIAL_TIMEOUT_MS = 10_000

export interface DhtSourceOptions extends DhtPlace {
  /** Peers that lead into the DHT. */
  readonly bootstrap: readonly string[]
  readonly now?: () => Date
}

/** @param node with a DHT service of /trusted-pods/kad/1.0.0. */
export function dhtSource(
  node: Pick<Libp2p, 'dial' | 'contentRouting'>,
  { bootstrap, now = () => new Date(), ...place }: DhtSourceOptions,
): RegistrySource {
  return {
    async *providers({ signal }: ReadOptions = {}) {
      const leading = await joinDht(node, bootstrap, { signal })
      const asking = { ...place, now: now(), signal }
      const led = await Promise.all(leading.map((connection) => readLeading(connection, asking)))
      yield* led.filter((row) => row !== undefined)
      const known = new Set(leading.map(({ remotePeer }) => remotePeer.toString()))
      const peers = (await findPeers(node, place, signal)).filter(({ id }) => !known.has(id.toString()))
      for (let i = 0; i < peers.length; i += PARALLEL_PEERS) {
        signal?.throwIfAborted()
        const asked = peers.slice(i, i + PARALLEL_PEERS)
        yield* await Promise.all(asked.map((peer) => readPeer(node, peer, asking)))
      }
    },
  }
}

async function findPeers(
  node: Pick<Libp2p, 'contentRouting'>,
  place: DhtPlace,
  signal: AbortSignal | undefined,
): Promise<PeerInfo[]> {
  const timeout = AbortSignal.timeout(WALK_TIMEOUT_MS)
  const found = new Map<string, PeerInfo>()
  try {
    const walk = { signal: signal ? AbortSignal.any([timeout, signal]) : timeout }
    for await (const peer of node.contentRouting.findProviders(await rendezvousCid(place), walk)) {
      found.set(peer.id.toString(), peer)
      if (found.size >= MAX_PEERS) break
    }
  } catch (cause) {
    signal?.throwIfAborted()
    // What a walk that was cut off has found is as good as what a whole one finds.
    if (found.size > 0) return [...found.values()]
    throw new TrustedPodsError('CHANNEL_RPC_UNAVAILABLE', `the DHT cannot be read: ${boundText(String(cause))}`, {
      cause,
    })
  }
  return [...found.values()]
}

interface Asking extends DhtPlace {
  readonly now: Date
  readonly signal: AbortSignal | undefined
}

/** A peer that leads in need not be a provider; where it is one, it is often the only one, and no walk finds oneself. */
async function readLeading(connection: Connection, asking: Asking): Promise<RegistryRow | undefined> {
  try {
    return await readConnected(connection, asking)
  } catch {
    asking.signal?.throwIfAborted()
    return undefined
  }
}

async function readPeer(node: Pick<Libp2p, 'dial'>, peer: PeerInfo, asking: Asking): Promise<RegistryRow> {
  try {
    return await readConnected(await connect(node, peer, asking.signal), asking)
  } catch (error) {
    asking.signal?.throwIfAborted()
    const { message } = toTrustedPodsError(error, 'WIRE_DIAL_FAILED')
    return { skipped: `peer ${peer.id} gives no record: ${boundText(message)}`, account: undefined }
  }
}

async function readConnected(connection: Connection, asking: Asking): Promise<RegistryRow> {
  const { remotePeer } = connection
  const row = await openRow(await askRecord(connection, asking.signal), { ...asking, account: undefined })
  if ('skipped' in row || row.peerId.equals(remotePeer)) return row
  return { skipped: `peer ${remotePeer} gives the record of ${row.peerId}`, account: row.account }
}

async function connect(
  node: Pick<Libp2p, 'dial'>,
  { id, multiaddrs }: PeerInfo,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const timeout = AbortSignal.timeout(DIAL_TIMEOUT_MS)
  const limit = signal ? AbortSignal.any([timeout, signal]) : timeout
  const addresses = multiaddrs.map((address) =>
    address.getComponents().some(({ name }) => name === 'p2p') ? address : address.encapsulate(`/p2p/${id}`),
  )
  return await node.dial(addresses.length > 0 ? addresses : id, { signal: limit })
}

async function askRecord(connection: Connection, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const ask = { request: ProviderRecordRequestSchema, message: {}, response: ProviderRecordResponseSchema }
  const { result } = await request(connection, PROVIDER_RECORD, ask, signal ? { signal } : {})
  if (result.case === 'record') return result.value
  if (result.case === 'refusal') throwRefusal(result.value)
  throw new TrustedPodsError('WIRE_MALFORMED', 'the answer holds neither a record nor a refusal')
}
