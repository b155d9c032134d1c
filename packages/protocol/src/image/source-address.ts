/** A place beside the publisher that has an image's blocks, as manifests name it. Spec: spec/IMAGES.md#sources-of-blocks. Pure. */
import { peerIdFromString } from '@libp2p/peer-id'
import { isHostName, isIpAddress } from '../manifest/names.ts'

/** Each is asked once for a transfer: more of them only hold up the answer that there is no image. */
export const MAX_SOURCES = 8
/** The longest host name, a port, and a peer id in its longest form. */
const MAX_SOURCE_CHARACTERS = 512

export type SourceAddress =
  /** A libp2p node that serves the block protocol. */
  | { readonly kind: 'peer'; readonly host: string; readonly port: number; readonly peerId: string }
  /** A trustless gateway: blocks are below /ipfs/ of this origin. */
  | { readonly kind: 'gateway'; readonly origin: string }

/** For messages. */
export const SOURCE_ADDRESS =
  'a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… or /dns4/…, or https://HOST[:PORT] of a trustless gateway'

/** Lower case or digits, without a blank in the middle: nothing that would read differently elsewhere. */
const PEER = /^\/(ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/([1-9]\d{0,4})\/p2p\/([A-Za-z0-9]+)$/

/** undefined where the text has another form. */
export function parseSourceAddress(text: string): SourceAddress | undefined {
  if (text.length > MAX_SOURCE_CHARACTERS) return undefined
  return text.startsWith('/') ? parsePeer(text) : parseGateway(text)
}

function parsePeer(text: string): SourceAddress | undefined {
  const [, family = '', host = '', port = '', peerId = ''] = PEER.exec(text) ?? []
  if (!isHostOf(family, host) || Number(port) > 65_535 || !isPeerId(peerId)) return undefined
  return { kind: 'peer', host, port: Number(port), peerId }
}

function isHostOf(family: string, host: string): boolean {
  if (family.startsWith('dns')) return isHostName(host)
  return isIpAddress(host) && host.includes(':') === (family === 'ip6')
}

function isPeerId(text: string): boolean {
  try {
    return peerIdFromString(text).toString() === text
  } catch {
    // Said by whoever knows where the text stands.
    return false
  }
}

function parseGateway(text: string): SourceAddress | undefined {
  if (!/^https:\/\/[^/?#@\s]+\/?$/.test(text) || !URL.canParse(text)) return undefined
  return { kind: 'gateway', origin: new URL(text).origin }
}
