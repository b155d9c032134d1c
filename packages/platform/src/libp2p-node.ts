/** A libp2p node for Node.js: TCP, Noise, Yamux, with the limits that keep one stranger from shutting out the others.
 * Facts behind the numbers: docs/limits.md. */

import { identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { corked } from './corked-writes.ts'

const MIB = 1024 * 1024

/** Spec: spec/REGISTRY.md#dht. */
const KAD_PROTOCOL = '/trusted-pods/kad/1.0.0'
/** Streams that one connection may hold open in all. */
const STREAMS_PER_CONNECTION = 128

export interface NodeOptions {
  privateKey: PrivateKey
  /** Multiaddrs to listen on; empty: dial only. */
  listen: string[]
  /** Multiaddrs to announce in place of the ones listened on. */
  announce?: string[]
  /** Whether it listens at once; a server registers its protocols first. */
  start?: boolean
  /** Takes part in the DHT of providers: a server answers others, a client only asks. */
  dht?: 'server' | 'client'
}

/** Started, unless told otherwise; the caller stops it. */
export async function createNode({
  privateKey,
  listen,
  announce = [],
  start = true,
  dht,
}: NodeOptions): Promise<Libp2p> {
  return createLibp2p({
    privateKey,
    start,
    addresses: { listen, announce },
    transports: [tcp()],
    connectionEncrypters: [corked(noise())],
    streamMuxers: [
      yamux({
        maxInboundStreams: STREAMS_PER_CONNECTION,
        maxOutboundStreams: STREAMS_PER_CONNECTION,
        streamOptions: { maxStreamWindowSize: MIB, maxReadBufferLength: 4 * MIB, maxWriteBufferLength: 8 * MIB },
      }),
    ],
    connectionManager: {
      maxConnections: 1024,
      maxIncomingPendingConnections: 256,
      inboundConnectionThreshold: 10,
      inboundUpgradeTimeout: 5_000,
      inboundStreamProtocolNegotiationTimeout: 5_000,
      dialTimeout: 15_000,
      maxDialQueueLength: 200,
    },
    // A busy peer that answers a ping late is not a dead one.
    connectionMonitor: { pingInterval: 30_000, abortConnectionOnPingFailure: false },
    services: { identify: identify(), ping: ping(), ...(dht && { dht: providerDht(dht) }) },
  })
}

/** A DHT of our own, apart from that of IPFS, so that its peers are providers and those who look for them. Addresses of private networks
 * are kept: fleets and tests live there, and whoever answers has to be the peer that was sought. */
function providerDht(role: 'server' | 'client') {
  return kadDHT({
    protocol: KAD_PROTOCOL,
    clientMode: role === 'client',
    peerInfoMapper: passthroughMapper,
    // A first server is its own whole network; a client that knows nobody yet waits until it does.
    allowQueryWithZeroPeers: role === 'server',
  })
}
