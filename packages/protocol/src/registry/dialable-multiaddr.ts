/** The multiaddrs that a record may name: ones that a publisher can dial and that lead nowhere else. Spec: spec/REGISTRY.md#multiaddrs. Pure. */
import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { TrustedPodsError } from '../errors.ts'

export const MAX_MULTIADDRS = 8
/** Longest binary multiaddr: a full domain name, two certificate hashes and a peer id fit. */
const MAX_MULTIADDR_BYTES = 512

/** Protocol names, in order. dnsaddr is not there: it would let a name server choose any address of any kind. */
const DIALABLE =
  /^(ip4|ip6|dns|dns4|dns6)\/(tcp(\/(ws|wss|tls\/ws|tls\/sni\/ws))?|udp\/webrtc-direct(\/certhash){0,2})(\/p2p)?$/

/** @throws TrustedPodsError CHANNEL_REGISTRY_RECORD when there is none, too many, or one that is not of the allowed kinds. */
export function openMultiaddrs(binary: readonly Uint8Array[], peerId: PeerId): Multiaddr[] {
  if (binary.length === 0 || binary.length > MAX_MULTIADDRS)
    refuse(`it names ${binary.length} addresses, wanted 1 to ${MAX_MULTIADDRS}`)
  return binary.map((bytes) => openMultiaddr(bytes, peerId))
}

function openMultiaddr(bytes: Uint8Array, peerId: PeerId): Multiaddr {
  if (bytes.length > MAX_MULTIADDR_BYTES) refuse(`an address has ${bytes.length} bytes, at most ${MAX_MULTIADDR_BYTES}`)
  const address = decode(bytes)
  const components = address.getComponents()
  const kind = components.map((component) => component.name).join('/')
  if (!DIALABLE.test(kind)) refuse(`an address of kind /${kind.slice(0, 128)} is not allowed`)
  for (const { name, value } of components) {
    if ((name === 'tcp' || name === 'udp') && value === '0') refuse('an address has port 0')
    if (name === 'p2p' && value !== peerId.toString()) refuse('an address leads to another peer')
  }
  return address
}

function decode(bytes: Uint8Array): Multiaddr {
  try {
    return multiaddr(bytes)
  } catch (cause) {
    throw new TrustedPodsError('CHANNEL_REGISTRY_RECORD', 'the record has an address that is no multiaddr', { cause })
  }
}

function refuse(message: string): never {
  throw new TrustedPodsError('CHANNEL_REGISTRY_RECORD', `the record is refused: ${message}`)
}
