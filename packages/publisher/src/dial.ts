/** A connection to a provider, authenticated as the peer id that its record names. Spec: spec/PROTOCOL.md#dial. */
import type { Connection, Libp2p, PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import { dialOwn } from '@trusted-pods/protocol/wire/dial-own.ts'
import { boundText } from '@trusted-pods/protocol/wire/refusal.ts'
import type { Relocate } from './relocate.ts'

/** Whom to dial and where: an opened record has checked both. */
export interface ProviderAddress {
  /** As people write it: 12D3Koo… */
  readonly peerId: string
  /** Multiaddrs as text, with or without /p2p/<id>. */
  readonly multiaddrs: readonly string[]
}

export interface DialOptions {
  /** Asked where the peer is now, when it does not answer where it was. */
  relocate?: Relocate
  signal?: AbortSignal
}

/** A live connection; disposing closes it. */
export interface Peer extends AsyncDisposable {
  readonly connection: Connection
  /** Who we are to it. */
  readonly self: PeerId
}

/** 15 s: name look-up, TCP, Noise and Yamux to the other side of the world, and one slow address before a good one. */
const DIAL_TIMEOUT_MS = 15_000

/** Dials the addresses until one answers as that peer.
 * @throws TrustedPodsError WIRE_DIAL_FAILED: no usable address, none reachable, or another peer answered. */
export async function dial(node: Libp2p, address: ProviderAddress, options: DialOptions = {}): Promise<Peer> {
  const connection = await connectOrFollow(node, address, options)
  return {
    connection,
    self: node.peerId,
    // Closing is a courtesy to the peer: the connection is of no more use either way.
    [Symbol.asyncDispose]: () => connection.close().catch(() => connection.abort(new Error('closed by us'))),
  }
}

/** The addresses that lead to the peer and no other; broken ones are left out.
 * @throws TrustedPodsError WIRE_DIAL_FAILED when none is left. */
export function peerAddresses({ peerId, multiaddrs }: ProviderAddress): Multiaddr[] {
  const addresses = multiaddrs.flatMap((text) => withPeerId(text, peerId))
  if (addresses.length > 0) return addresses
  const seen = multiaddrs.map(boundText).join(', ') || 'none'
  throw new TrustedPodsError('WIRE_DIAL_FAILED', `no address leads to peer ${boundText(peerId)}; given: ${seen}`)
}

function withPeerId(text: string, peerId: string): Multiaddr[] {
  try {
    const address = multiaddr(text)
    const components = address.getComponents()
    const named = components.filter(({ name }) => name === 'p2p')
    if (components.length === named.length) return []
    if (named.length === 0) return [address.encapsulate(`/p2p/${peerId}`)]
    return named.every(({ value }) => value === peerId) ? [address] : []
  } catch {
    // One bad address must not hide the good ones beside it.
    return []
  }
}

/** Where it was, else where it is announced now: at addresses that were not tried already. */
async function connectOrFollow(
  node: Libp2p,
  address: ProviderAddress,
  { relocate, signal }: DialOptions,
): Promise<Connection> {
  try {
    return await connect(node, peerAddresses(address), signal)
  } catch (error) {
    if (relocate === undefined || !(error instanceof TrustedPodsError)) throw error
    const announced = await relocate(address, signal ? { signal } : {})
    const multiaddrs = announced.filter((text) => !address.multiaddrs.includes(text))
    if (multiaddrs.length === 0) throw error
    return await connect(node, peerAddresses({ ...address, multiaddrs }), signal)
  }
}

async function connect(node: Libp2p, addresses: Multiaddr[], signal?: AbortSignal): Promise<Connection> {
  const timeout = AbortSignal.timeout(DIAL_TIMEOUT_MS)
  try {
    return await dialOwn(node, addresses, signal ? AbortSignal.any([timeout, signal]) : timeout)
  } catch (cause) {
    signal?.throwIfAborted()
    const reason = cause instanceof Error ? boundText(cause.message) : String(cause)
    throw new TrustedPodsError('WIRE_DIAL_FAILED', `no answer at ${addresses.map(String).join(', ')}: ${reason}`, {
      cause,
    })
  }
}
