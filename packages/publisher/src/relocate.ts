/** Where a provider is now, that no longer answers where it was: the registry's word on the same peer. Spec: spec/REGISTRY.md#moved. */
import type { RegistrySource } from '@trusted-pods/protocol/registry/source.ts'

/** Multiaddrs of the peer as it announces them now; none: it is not announced. */
export type Relocate = (
  provider: { readonly peerId: string },
  options: { signal?: AbortSignal },
) => Promise<readonly string[]>

/** The newest record of that very peer id; whoever answers there must still prove to be that peer. */
export function relocateBy(source: RegistrySource): Relocate {
  return async ({ peerId }, { signal }) => {
    let newest: { sequence: bigint; multiaddrs: readonly string[] } | undefined
    for await (const row of source.providers({ signal })) {
      if ('skipped' in row || row.peerId.toString() !== peerId) continue
      const { sequence } = row.record
      if (newest === undefined || sequence > newest.sequence)
        newest = { sequence, multiaddrs: row.multiaddrs.map(String) }
    }
    return newest?.multiaddrs ?? []
  }
}
