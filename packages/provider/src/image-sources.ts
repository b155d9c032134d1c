/**
 * Where an image's blocks may be beside its publisher: the places that its manifest names, as far as this machine may dial them, then the
 * operator's own gateways. Spec: spec/IMAGES.md#sources-of-blocks.
 */
import type { LookupAddress } from 'node:dns'
import type { Libp2p } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { DialGuard } from '@trusted-pods/platform/dial-guard.ts'
import { gatewaySource } from '@trusted-pods/platform/images/gateway-source.ts'
import { TrustedPodsError } from '@trusted-pods/protocol/errors.ts'
import type { BlockSource } from '@trusted-pods/protocol/image/block-source.ts'
import { dialledSource } from '@trusted-pods/protocol/image/peer-source.ts'
import { parseSourceAddress, type SourceAddress } from '@trusted-pods/protocol/image/source-address.ts'
import { dialOwn } from '@trusted-pods/protocol/wire/dial-own.ts'

/** TCP, an upgrade and one slow address before a good one. */
const DIAL_TIMEOUT_MS = 15_000

export interface ImageSourcesOptions {
  readonly node: Pick<Libp2p, 'dial'>
  /** Says where strangers may have us connect to. */
  readonly guard: DialGuard
  /** Origins of trustless gateways that the operator trusts to be dialled, http too. */
  readonly gateways: readonly string[]
  /** Certificate authorities in place of the usual ones, PEM. */
  readonly ca?: string
}

/** The sources of an image whose manifest names `addresses`, in the order in which they are asked. */
export type ImageSources = (addresses: readonly string[]) => BlockSource[]

export function createImageSources({ node, guard, gateways, ca }: ImageSourcesOptions): ImageSources {
  const named = (text: string): BlockSource[] => {
    const address = parseSourceAddress(text)
    switch (address?.kind) {
      case undefined:
        return []
      case 'gateway':
        return [gatewaySource(address.origin, { name: text, resolve: guard.resolve, ...(ca !== undefined && { ca }) })]
      case 'peer':
        return [dialledSource(text, (signal) => dialPeer(address, { name: text, node, guard, signal }))]
    }
  }
  // Where the operator's gateways are is nobody's business.
  const own = () => gateways.map((origin) => gatewaySource(origin, { name: 'a gateway of the provider' }))
  return (addresses) => [...addresses.flatMap(named), ...own()]
}

interface DialOptions extends Pick<ImageSourcesOptions, 'node' | 'guard'> {
  readonly name: string
  readonly signal: AbortSignal
}

async function dialPeer(
  { host, port, peerId }: Extract<SourceAddress, { kind: 'peer' }>,
  { name, node, guard, signal }: DialOptions,
) {
  const toMultiaddr = ({ address, family }: LookupAddress) =>
    multiaddr(`/ip${family}/${address}/tcp/${port}/p2p/${peerId}`)
  const addresses = (await guard.resolve(host, port)).map(toMultiaddr)
  try {
    return await dialOwn(node, addresses, AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]))
  } catch (cause) {
    signal.throwIfAborted()
    // No more than that: what exactly answers there would be of use to whoever looks for open ports through us.
    throw new TrustedPodsError('PROVISION_IMAGE_FETCH', `${name} could not be reached`, { cause })
  }
}
