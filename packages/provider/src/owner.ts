/** What this provider's objects are labelled with in the engine: short, lower-case, one per identity. Pure. */
import type { PeerId } from '@libp2p/interface'

export function ownerOf(peerId: PeerId): string {
  return peerId.toString().slice(-16).toLowerCase()
}
