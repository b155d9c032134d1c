/** A connection that is nobody else's. */
import type { Connection, Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/**
 * What happens on a connection of its own, and closing it, concerns nobody else of this process. `force` passes over open connections, but
 * a dial to the same peer that is under way is joined all the same: its connection is another's.
 */
export async function dialOwn(
  node: Pick<Libp2p, 'dial'>,
  addresses: Multiaddr[],
  signal: AbortSignal,
): Promise<Connection> {
  for (;;) {
    let isJoined = false
    const onProgress = ({ type }: { type: string }) => {
      isJoined ||= type === 'dial-queue:already-in-dial-queue'
    }
    const connection = await node.dial(addresses, { force: true, signal, onProgress })
    if (!isJoined) return connection
  }
}
